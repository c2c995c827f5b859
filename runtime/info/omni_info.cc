// omni-info FOLDER…: what a checkpoint is, what goes in and comes out, and what it needs.
#include <unistd.h>

#include <cstdio>
#include <initializer_list>
#include <string>
#include <utility>

#include "omni/checkpoint.h"

namespace {

const char* name_of(omni::Precision p) {
  constexpr const char* kNames[] = {"as stored", "float32", "bfloat16", "int8", "int4"};
  return kNames[int(p)];
}

std::string list(std::initializer_list<std::pair<bool, const char*>> words) {
  std::string all;
  for (const auto& [is_there, word] : words)
    if (is_there) all += (all.empty() ? "" : ", ") + std::string(word);
  return all;
}

void print(const char* folder) {
  const omni::CheckpointInfo info = omni::read_checkpoint(folder);
  const omni::Abilities& a = info.abilities;
  const auto line = [](const char* name, const std::string& value) {
    std::printf("  %-11s %s\n", name, value.c_str());
  };
  const auto rounded = [](double value, const char* unit) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g %s", value, unit);
    return std::string(text);
  };
  std::printf("%s\n", folder);
  line("family", info.family);
  line("stored as", info.stored);
  if (info.n_parameters) line("parameters", rounded(double(*info.n_parameters) / 1e6, "million"));
  line("in", list({{a.video, "video, images"}, {a.audio, "audio"}, {a.text, "text"}}));
  line("out", list({{a.text, "text, places"}, {a.transcript, "words"}, {a.speech, "speech"}}));
  const double memory = double(::sysconf(_SC_PHYS_PAGES)) * double(::sysconf(_SC_PAGESIZE));
  for (const auto& need : info.needs) {
    const double on_host = double(need.bytes - need.in_file);
    line(name_of(need.precision), rounded(on_host / 1e9, "GB of weights") + ", " +
                                      rounded(double(need.bytes) / 1e9, "on a GPU") +
                                      (on_host < memory ? "" : ": more than this machine has"));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: omni-info FOLDER...\n");
    return 2;
  }
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    try {
      print(argv[i]);
    } catch (const omni::Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ++failed;
    }
  }
  return failed != 0;
}
