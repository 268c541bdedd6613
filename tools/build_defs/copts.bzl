"""The warnings of this repository's own code. All of them are errors."""

COPTS = [
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wnon-virtual-dtor",
    "-Wold-style-cast",
    "-Woverloaded-virtual",
    "-Wno-sign-compare",
    "-Wno-missing-field-initializers",
    # Later Abseils deprecate what Debian 12's has no successor for.
    "-Wno-deprecated-declarations",
    "-Werror",
]
