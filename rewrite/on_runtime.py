"""What one runtime made of a file: how it agrees, which kernels it chose, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rewrite.kernel_counts import int8_summary
from rewrite.output_agreement import Agreement
from rewrite.runtimes import KernelVerdict


@dataclass
class OnRuntime:
    """What one runtime made of the file."""

    name: str
    version: str
    agreement: Agreement | None = None
    """With the simulated program; None when it could not run the file."""
    resized: Agreement | None = None
    """With the program at other sizes of the dynamic dimensions; None where all are fixed."""
    model: Agreement | None = None
    """With the eager model; None when it could not run the file."""
    kernels: list[KernelVerdict] = field(default_factory=list)
    model_resized: Agreement | None = None
    """With the eager model at other sizes; None where all are fixed."""
    caveat: str = ""
    """What its users must know on a machine like this one; empty if nothing."""
    problem: str = ""
    """Why the file is not to be used with it; empty if all is well."""

    @property
    def undecided(self) -> int:
        """How many values of the outputs were not compared, for equal values decide them."""
        found = (self.agreement, self.resized, self.model, self.model_resized)
        return max((each.undecided for each in found if each is not None), default=0)

    @property
    def rounded(self) -> int:
        """How many values of the outputs were not compared, for they are nothing but rounding."""
        found = (self.agreement, self.resized, self.model, self.model_resized)
        return max((each.rounded for each in found if each is not None), default=0)

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `runtimes` in the command line's JSON."""
        return {
            "version": self.version,
            "agreement": self.agreement.as_json() if self.agreement else None,
            "other_sizes": self.resized.as_json() if self.resized else None,
            "against_model": self.model.as_json() if self.model else None,
            "int8": int8_summary(self.kernels),
            "caveat": self.caveat or None,
            "problem": self.problem or None,
        }
