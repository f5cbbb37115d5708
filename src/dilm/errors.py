"""What a user can get wrong, each with what to do about it. The CLI prints these in one paragraph and exits with 2."""


class DilmError(Exception):
    """A mistake that its user can mend: `problem` says what was expected and found, `remedy` what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["DilmError"], tuple[str, str]]:
        """So that it survives the way back from a worker process, which an exception of two arguments does not."""
        return type(self), (self.problem, self.remedy)


class DataError(DilmError):
    """The data is not what a labelled text dataset must be."""


class RecipeError(DilmError):
    """A setting is unknown, out of range or contradicts another."""


class RunError(DilmError):
    """A run folder is missing, incomplete, or belongs to another recipe."""


class ModelError(DilmError):
    """A model cannot be found, read or used in the role that it was given."""


class ResourceError(DilmError):
    """The machine has too little of something: memory, disk, network."""
