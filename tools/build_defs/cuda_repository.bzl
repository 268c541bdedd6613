"""Finds the CUDA toolkit, or says cleanly that there is none.

The toolkit is CUDA_PATH, else /usr/local/cuda. @local_cuda//:defs.bzl tells
the other rules what was found (HAVE_CUDA, NVCC); @local_cuda//:cuda carries
the libraries and the preprocessor symbol LT2_HAVE_CUDA (1 or 0). It carries no
headers: only .cu files include CUDA's, and nvcc knows where those are.
LT2_CUDA=off in the environment builds without it.
"""

_WITH_CUDA = """
cc_library(
    name = "cuda",
    defines = ["LT2_HAVE_CUDA=1"],
    linkopts = [
        "-L{lib}",
        "-l:libcublasLt.so.13",
        "-l:libcudart_static.a",
        "-lpthread",
        "-ldl",
        "-lrt",
        "-Wl,-rpath,{lib}",
    ],
    visibility = ["//visibility:public"],
)
"""

_WITHOUT_CUDA = """
cc_library(
    name = "cuda",
    defines = ["LT2_HAVE_CUDA=0"],
    visibility = ["//visibility:public"],
)
"""

def _cuda_repository_impl(repository_ctx):
    root = repository_ctx.os.environ.get("CUDA_PATH", "/usr/local/cuda")
    wanted = repository_ctx.os.environ.get("LT2_CUDA", "on") != "off"
    nvcc = repository_ctx.path(root + "/bin/nvcc")
    library = repository_ctx.path(root + "/lib64/libcublasLt.so.13")
    found = wanted and nvcc.exists and library.exists
    if found:
        repository_ctx.file("BUILD", _WITH_CUDA.format(lib = root + "/lib64"))
    else:
        repository_ctx.file("BUILD", _WITHOUT_CUDA)
    repository_ctx.file("defs.bzl", "HAVE_CUDA = %s\nNVCC = %s\n" % (found, repr(str(nvcc))))

cuda_repository = repository_rule(
    implementation = _cuda_repository_impl,
    environ = ["CUDA_PATH", "LT2_CUDA"],
    local = True,
    doc = "Finds the CUDA 13 toolkit.",
)
