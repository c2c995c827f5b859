// tools/parity DIR…: one line a boundary; exit status 1 if any fails.
#include <cstdio>

#include "omni/error.h"
#include "parity/parity.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: parity DIR...\n");
    return 2;
  }
  int failed = 0, lines = 0;
  for (int i = 1; i < argc; ++i) {
    std::printf("%s\n", argv[i]);
    try {
      for (const auto& line : omni::parity::compare(argv[i])) {
        std::printf("  %s\n", omni::parity::format(line).c_str());
        failed += !line.pass;
        ++lines;
      }
    } catch (const omni::Error& e) {
      std::printf("  error: %s\n", e.what());
      ++failed;
    }
  }
  std::printf("%d of %d boundaries differ\n", failed, lines);
  return failed != 0;
}
