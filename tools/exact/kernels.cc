// Section "kernels".

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "model/io/atomic_file.h"
#include "tools/exact/cubin.h"
#include "tools/exact/sections.h"

namespace lt2::tools {
namespace {

// "norm/norm_cuda.cu" of "kernels/norm/_objs/norm_cuda_objects/norm_cuda.cu.o".
std::string SourceOf(absl::string_view object) {
  std::vector<std::string> parts = absl::StrSplit(object, '/');
  const auto objects = std::find(parts.begin(), parts.end(), "_objs");
  std::string folder = objects == parts.begin() || objects == parts.end()
                           ? ""
                           : absl::StrCat(*(objects - 1), "/");
  std::string name = parts.back();
  if (absl::EndsWith(name, ".o")) name.resize(name.size() - 2);
  return folder + name;
}

// Overloads, which differ in their parameters only, keep these; what still has
// the same name is numbered.
std::string UniqueName(const KernelResources& kernel,
                       const std::map<std::string, int>& short_names,
                       std::set<std::string>* taken) {
  const std::string brief = KernelName(kernel.symbol);
  std::string name =
      short_names.at(brief) == 1 ? brief : KernelSignature(kernel.symbol);
  for (int n = 2; !taken->insert(name).second; ++n) {
    name = absl::StrCat(brief, " #", n);
  }
  return name;
}

}  // namespace

absl::StatusOr<Section> MeasureKernels(const std::string& manifest) {
  LT2_ASSIGN_OR_RETURN(const std::string list, model::ReadFile(manifest));
  const std::vector<std::string> objects =
      absl::StrSplit(list, '\n', absl::SkipEmpty());
  if (objects.empty()) {
    return absl::FailedPreconditionError(
        "this build has no CUDA toolkit, so no kernel was compiled");
  }
  Section section;
  std::set<std::string> toolkits, archs;
  for (const std::string& object : objects) {
    LT2_ASSIGN_OR_RETURN(const std::string bytes, model::ReadFile(object));
    LT2_ASSIGN_OR_RETURN(const std::vector<Cubin> cubins,
                         ReadObject(bytes, object));
    for (const Cubin& cubin : cubins) {
      toolkits.insert(cubin.toolkit);
      archs.insert(cubin.arch);
      std::map<std::string, int> short_names;
      for (const KernelResources& kernel : cubin.kernels) {
        ++short_names[KernelName(kernel.symbol)];
      }
      std::set<std::string> taken;
      for (const KernelResources& kernel : cubin.kernels) {
        const std::string name = UniqueName(kernel, short_names, &taken);
        section.entries[absl::StrCat(SourceOf(object), " ", name)] = {
            {"registers", kernel.registers},
            {"shared_bytes", kernel.shared_bytes},
            {"stack_bytes", kernel.stack_bytes},
            {"local_load_bytes", kernel.local_load_bytes},
            {"local_store_bytes", kernel.local_store_bytes}};
      }
    }
  }
  if (toolkits.size() != 1 || archs.size() != 1) {
    return InvalidArgument(
        "objects of ", toolkits.size(), " CUDA toolkits and ", archs.size(),
        " architectures, expected one of each; is the build half old?");
  }
  section.environment = {{"toolkit", *toolkits.begin()},
                         {"arch", *archs.begin()}};
  return section;
}

}  // namespace lt2::tools
