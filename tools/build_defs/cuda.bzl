"""cuda_library and cuda_test: CUDA sources in Bazel without a CUDA toolchain.

cuda_library(name, srcs, hdrs, deps) compiles each .cu file of srcs with nvcc
(machine code for sm_90a, PTX for sm_80 and later) and wraps the objects in a
cc_library. Where there is no CUDA toolkit the same target holds the headers
alone; callers guard their calls with #if LT2_HAVE_CUDA.
"""

load("@local_cuda//:defs.bzl", "HAVE_CUDA", "NVCC")
load("//tools/build_defs:copts.bzl", "COPTS")

_NVCC_FLAGS = [
    "-std=c++20",
    "-O3",
    "-gencode=arch=compute_90a,code=sm_90a",
    "-gencode=arch=compute_80,code=compute_80",
    "--expt-relaxed-constexpr",
    "-lineinfo",
    "--Werror=all-warnings",
    # Names of nvcc's temporary files are made of process numbers, which start
    # anew in every sandbox, while /tmp is one for all of them: two compilations
    # at once could take each other's. Beside the object they are alone.
    "--objdir-as-tempdir",
    "-Xcompiler=-Wall,-fPIC,-march=x86-64-v3,-ffp-contract=off",
    # Debian's Abseil headers trip these two inside nvcc's own stubs.
    "-diag-suppress=20012,20011",
]

def _cuda_objects_impl(ctx):
    contexts = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    headers = depset(ctx.files.hdrs, transitive = [c.headers for c in contexts])
    defines = depset(transitive = [c.defines for c in contexts]).to_list()
    includes = depset(transitive = [
        depset(transitive = [c.includes, c.quote_includes, c.system_includes])
        for c in contexts
    ]).to_list()
    objects = []
    for src in ctx.files.srcs:
        if src.extension != "cu":
            continue
        out = ctx.actions.declare_file("_objs/%s/%s.o" % (ctx.label.name, src.basename))
        args = ctx.actions.args()
        args.add("-c", src)
        args.add("-o", out)
        args.add_all(_NVCC_FLAGS)
        args.add_all(ctx.attr.copts)
        args.add("-I.")
        args.add_all(["-D" + d for d in defines])
        args.add_all(["-I" + i for i in includes])
        ctx.actions.run(
            executable = NVCC,
            arguments = [args],
            inputs = depset(ctx.files.srcs, transitive = [headers]),
            outputs = [out],
            mnemonic = "CudaCompile",
            progress_message = "Compiling %s with nvcc" % src.short_path,
            use_default_shell_env = True,
        )
        objects.append(out)
    return [DefaultInfo(files = depset(objects))]

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu", ".cuh"]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "copts": attr.string_list(),
    },
)

def cuda_library(name, srcs = [], hdrs = [], deps = [], copts = [], **kwargs):
    """A cc_library whose srcs are .cu and .cuh files.

    Args:
      name: the target.
      srcs: .cu files, one object each, and .cuh files private to them.
      hdrs: headers for others; plain C++, so that they need no toolkit.
      deps: cc_library and cuda_library targets.
      copts: further flags for nvcc.
      **kwargs: passed on to cc_library (visibility, testonly).
    """
    objects = []
    if HAVE_CUDA and srcs:
        _cuda_objects(
            name = name + "_objects",
            srcs = srcs,
            hdrs = hdrs,
            deps = deps,
            copts = copts,
            testonly = kwargs.get("testonly", False),
        )
        objects = [":" + name + "_objects"]
    native.cc_library(
        name = name,
        srcs = objects,
        hdrs = hdrs,
        deps = deps + ["@local_cuda//:cuda"],
        copts = COPTS,
        **kwargs
    )

def cuda_test(name, srcs, deps = [], tags = [], **kwargs):
    """A cc_test of GPU code: tagged gpu, and skipped visibly without a GPU."""

    # //tools:gpu_bundle carries them to hosts without Bazel.
    kwargs.setdefault("visibility", ["//tools:__pkg__"])
    native.cc_test(
        name = name,
        srcs = srcs,
        deps = deps + ["@googletest//:googletest"],
        copts = COPTS,
        tags = tags + ["gpu"],
        **kwargs
    )
