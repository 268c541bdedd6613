#include "bench/tracking/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lt2::bench {
namespace {

std::string Trimmed(absl::string_view text) {
  return std::string(absl::StripAsciiWhitespace(text));
}

// The whole file, "" if it cannot be read. Files of /proc have no size.
std::string Contents(const char* path) {
  std::string text;
  if (std::FILE* file = std::fopen(path, "r")) {
    char buffer[4096];
    size_t got;
    while ((got = std::fread(buffer, 1, sizeof(buffer), file)) > 0) {
      text.append(buffer, got);
    }
    std::fclose(file);
  }
  return text;
}

// What a shell command prints, "" if it fails.
std::string Output(const char* command) {
  std::string text;
  std::FILE* pipe = popen(command, "r");
  if (pipe == nullptr) return text;
  char buffer[4096];
  size_t got;
  while ((got = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0) {
    text.append(buffer, got);
  }
  return pclose(pipe) == 0 ? text : "";
}

void Insert(const std::string& key, const std::string& value,
            MachineClass* facts) {
  if (!value.empty()) (*facts)[key] = value;
}

}  // namespace

MachineClass CpuFacts(absl::string_view cpuinfo, absl::string_view governor) {
  std::map<std::string, std::string> first;
  int cores = 0;
  for (absl::string_view line : absl::StrSplit(cpuinfo, '\n')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const std::string key = Trimmed(pair.first);
    cores += key == "processor";
    first.emplace(key, Trimmed(pair.second));
  }
  MachineClass facts;
  Insert("cpu", first["model name"], &facts);
  const std::vector<std::string> x86 = {first["cpu family"], first["model"],
                                        first["stepping"]};
  const std::vector<std::string> arm = {first["CPU implementer"],
                                        first["CPU part"], first["CPU variant"],
                                        first["CPU revision"]};
  for (const auto& id : {x86, arm}) {
    bool whole = true;
    for (const std::string& part : id) whole = whole && !part.empty();
    if (whole) Insert("cpu_id", absl::StrJoin(id, "-"), &facts);
  }
  if (cores > 0) facts["cores"] = absl::StrCat(cores);
  Insert("governor", Trimmed(governor), &facts);
  return facts;
}

MachineClass SystemFacts(absl::string_view os_release,
                         absl::string_view kernel) {
  std::map<std::string, std::string> values;
  for (absl::string_view line : absl::StrSplit(os_release, '\n')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    absl::string_view value = pair.second;
    if (absl::ConsumePrefix(&value, "\"")) absl::ConsumeSuffix(&value, "\"");
    values[std::string(pair.first)] = std::string(value);
  }
  MachineClass facts;
  Insert("os", Trimmed(absl::StrCat(values["ID"], " ", values["VERSION_ID"])),
         &facts);
  std::vector<std::string> numbers =
      absl::StrSplit(kernel, absl::ByAnyChar(".-"));
  if (numbers.size() > 2) numbers.resize(2);
  Insert("kernel", Trimmed(absl::StrJoin(numbers, ".")), &facts);
  return facts;
}

absl::StatusOr<MachineClass> GpuFacts(absl::string_view csv) {
  std::vector<std::string> names;
  std::set<std::string> drivers, powers;
  for (absl::string_view line : absl::StrSplit(csv, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> cells = absl::StrSplit(line, ',');
    if (cells.size() != 3) {
      return InvalidArgument("nvidia-smi: expected three values, got '", line,
                             "'");
    }
    names.push_back(Trimmed(cells[0]));
    drivers.insert(Trimmed(cells[1]));
    powers.insert(Trimmed(cells[2]));
  }
  MachineClass facts;
  if (names.empty()) return facts;
  const std::set<std::string> distinct(names.begin(), names.end());
  facts["gpu"] = absl::StrJoin(distinct, "+");
  facts["gpus"] = absl::StrCat(names.size());
  facts["driver"] = absl::StrJoin(drivers, "+");
  facts["power"] = absl::StrJoin(powers, "+");
  return facts;
}

MachineClass DetectMachine() {
  MachineClass machine = CpuFacts(
      Contents("/proc/cpuinfo"),
      Contents("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
  utsname names = {};
  uname(&names);
  machine.merge(SystemFacts(Contents("/etc/os-release"), names.release));
  absl::StatusOr<MachineClass> gpus = GpuFacts(Output(kGpuQuery));
  if (gpus.ok()) machine.merge(*gpus);
  return machine;
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

std::string MachineText(const MachineClass& machine) {
  return absl::StrJoin(machine, ", ", absl::PairFormatter("="));
}

}  // namespace lt2::bench
