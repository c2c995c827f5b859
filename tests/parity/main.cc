// tools/parity [--device cuda] DIR…: one line a boundary; exit status 1 if any fails. With
// OMNI_PRECISION=bfloat16 (int8, int4) how far that is from float32's, which fails.
#include <cstdio>
#include <string>

#include "bench/precision.h"
#include "omni/error.h"
#include "parity/parity.h"

int main(int argc, char** argv) {
  const bool on_device = argc > 2 && std::string(argv[1]) == "--device";
  const int first = on_device ? 3 : 1;
  if (argc <= first) {
    std::fprintf(stderr, "usage: parity [--device DEVICE] DIR...\n");
    return 2;
  }
  int failed = 0, lines = 0;
  for (int i = first; i < argc; ++i) {
    std::printf("%s\n", argv[i]);
    try {
      for (const auto& line :
           omni::parity::compare(argv[i], on_device ? argv[2] : "cpu",
                                 omni::asked_precision(omni::Precision::float32))) {
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
