"""cuda_objects_of, counting_detours, counted_*: what the exact record is measured from."""

load("//tools/build_defs:copts.bzl", "COPTS")

_CudaObjectsInfo = provider(fields = ["objects"])

def _collect_impl(target, ctx):
    own = []
    if ctx.rule.kind == "_cuda_objects":
        own = target[DefaultInfo].files.to_list()
    transitive = []
    for name in ["deps", "srcs"]:
        for dep in getattr(ctx.rule.attr, name, None) or []:
            if _CudaObjectsInfo in dep:
                transitive.append(dep[_CudaObjectsInfo].objects)
    return [_CudaObjectsInfo(objects = depset(own, transitive = transitive))]

_collect = aspect(
    implementation = _collect_impl,
    attr_aspects = ["deps", "srcs"],
)

def _cuda_objects_of_impl(ctx):
    objects = depset(transitive = [
        dep[_CudaObjectsInfo].objects
        for dep in ctx.attr.deps
    ])
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    lines = [f.short_path + "\n" for f in objects.to_list()]
    ctx.actions.write(out, "".join(sorted(lines)))
    return [DefaultInfo(
        files = depset([out]),
        runfiles = ctx.runfiles(files = [out], transitive_files = objects),
    )]

# A file that lists the objects of nvcc that `deps` hold, with theirs, and the
# objects themselves as runfiles. They are the ones that the libraries are made
# of: nothing is compiled again. Empty where there is no CUDA toolkit.
cuda_objects_of = rule(
    implementation = _cuda_objects_of_impl,
    attrs = {"deps": attr.label_list(aspects = [_collect])},
)

def counting_detours(name, program, deps, **kwargs):
    """Counting detours for the operators of a program (operator_calls.h).

    Args:
      name: a cc_library; NAME.ld are the options of the linker.
      program: the cc_binary without detours.
      deps: where the operators are: the linker then looks there after it has
        seen the detours, which alone refer to them.
      **kwargs: passed on.
    """
    script = "//tools/exact:operator_calls.sh"
    native.genrule(
        name = name + "_source",
        srcs = [program],
        outs = [name + ".s", name + ".ld"],
        cmd = "$(location {0}) $(location {1}) $(OUTS)".format(script, program),
        tools = [script],
        **kwargs
    )
    native.cc_library(
        name = name,
        srcs = [name + ".s"],
        deps = deps,
        alwayslink = True,
        **kwargs
    )

def _counted(rule, name, detours, deps, kwargs):
    rule(
        name = name,
        additional_linker_inputs = [detours + ".ld"],
        linkopts = ["-Wl,@$(location %s.ld)" % detours],
        deps = deps + [detours],
        copts = COPTS,
        **kwargs
    )

def counted_binary(name, detours, deps, **kwargs):
    """A cc_binary whose operator calls are counted."""
    _counted(native.cc_binary, name, detours, deps, kwargs)

def counted_test(name, detours, deps, **kwargs):
    """A cc_test whose operator calls are counted."""
    _counted(native.cc_test, name, detours, deps, kwargs)
