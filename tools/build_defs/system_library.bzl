"""A repository rule that exposes one library of the system's packages.

The library must be installed; ./bazelw installs what is missing on Debian.
The repository offers one target of its own name, e.g. @abseil//:abseil.
"""

def _find_header(repository_ctx):
    for directory in repository_ctx.attr.header_directories:
        path = repository_ctx.path(directory + "/" + repository_ctx.attr.header)
        if path.exists:
            return directory
    fail("\n\n%s: header %s not found in %s.\nInstall it, on Debian or Ubuntu with:\n    apt-get install %s\n" % (
        repository_ctx.name,
        repository_ctx.attr.header,
        ", ".join(repository_ctx.attr.header_directories),
        repository_ctx.attr.debian_package,
    ))

def _pkg_config_libraries(repository_ctx):
    """Names of the libraries that pkg-config lists, in link order."""
    result = repository_ctx.execute(["pkg-config", "--libs"] + repository_ctx.attr.pkg_config)
    if result.return_code != 0:
        fail("\n\n%s: pkg-config failed: %s\nInstall it, on Debian or Ubuntu with:\n    apt-get install pkg-config %s\n" % (
            repository_ctx.name,
            result.stderr,
            repository_ctx.attr.debian_package,
        ))
    return [word.strip()[2:] for word in result.stdout.split(" ") if word.startswith("-labsl")]

def _system_library_impl(repository_ctx):
    directory = _find_header(repository_ctx)
    libraries = list(repository_ctx.attr.libraries)
    if repository_ctx.attr.pkg_config:
        libraries += _pkg_config_libraries(repository_ctx)
    if repository_ctx.attr.archives:
        # Static, so that a program built here runs on hosts without them.
        linkopts = ["-Wl,--start-group"] + ["-l:lib%s.a" % name for name in libraries] + ["-Wl,--end-group"]
    else:
        linkopts = ["-l" + name for name in libraries]

    # A system library needs no headers declared, except in a subdirectory.
    includes = ""
    if repository_ctx.attr.include_subdirectory:
        repository_ctx.symlink(directory + "/" + repository_ctx.attr.include_subdirectory, "include")
        includes = """hdrs = glob(["include/**"]), includes = ["include"],"""
    repository_ctx.file("BUILD", """
cc_library(
    name = "{name}",
    {includes}
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
""".format(
        name = repository_ctx.name,
        includes = includes,
        linkopts = repr(linkopts + ["-lpthread"]),
    ))

system_library = repository_rule(
    implementation = _system_library_impl,
    local = True,
    doc = "Finds a library installed by the system's package manager.",
    attrs = {
        "archives": attr.bool(doc = "Link the static archives."),
        "debian_package": attr.string(mandatory = True),
        "header": attr.string(mandatory = True, doc = "A header that proves it is installed."),
        "header_directories": attr.string_list(default = ["/usr/include", "/usr/local/include"]),
        "include_subdirectory": attr.string(doc = "Directory under the header directory to put on the include path."),
        "libraries": attr.string_list(),
        "pkg_config": attr.string_list(doc = "pkg-config names whose libraries are linked."),
    },
)
