"""gpu_bundle: one archive of GPU tests and programs, for hosts without Bazel."""

def gpu_bundle(name, tests = [], programs = [], data = [], **kwargs):
    """Makes NAME.tar.xz, which unpacks to a folder NAME with run_all in it.

    Args:
      name: the target.
      tests: cuda_test targets; they lie in tests/.
      programs: cc_binary targets, benchmarks among them; they lie in programs/.
      data: files that keep their path from the workspace's root; everything
        runs from the bundle's own root, so the same relative path finds them.
      **kwargs: passed on to genrule.
    """
    pack = "//tools/build_defs:pack_gpu_bundle.sh"
    run_all = "//tools/build_defs:run_all.sh"

    files = []
    for flag, labels in [("--test", tests), ("--program", programs), ("--data", data)]:
        files += ["%s $(locations %s)" % (flag, label) for label in labels]
    native.genrule(
        name = name,
        testonly = True,
        srcs = tests + programs + data + [run_all],
        outs = [name + ".tar.xz"],
        cmd = "$(location %s) $@ $(location %s) %s" % (pack, run_all, " ".join(files)),
        message = "Packing",
        tools = [pack],
        **kwargs
    )
