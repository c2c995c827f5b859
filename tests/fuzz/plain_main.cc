// Runs a fuzz target without libFuzzer:
//   NAME_fuzz EXECUTIONS SEED FILE-OR-FOLDER…
// every file as it is, then EXECUTIONS of them changed by chance, the same for the same SEED. What
// is found ends the process, after the input has been left in a file; else it prints how many ran.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/target.h"

namespace {

namespace fs = std::filesystem;

constexpr size_t kLongest = 1 << 16;  // of a changed input

std::string running;  // the input under test

// Async-signal-safe: the input is kept where it was made.
void keep_input(int signal) {
  if (std::FILE* file = std::fopen("fuzz-finding", "wb")) {
    std::fwrite(running.data(), 1, running.size(), file);
    std::fclose(file);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(std::string input) {
  running = std::move(input);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(running.data()), running.size());
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& corpus, uint64_t seed) : corpus_(corpus), random_(seed) {}

  std::string next() {
    std::string s = one_of(corpus_);
    for (size_t changes = 1 + below(6); changes--;) change(s);
    s.resize(std::min(s.size(), kLongest));
    return s;
  }

 private:
  size_t below(size_t n) { return n ? random_() % n : 0; }
  const std::string& one_of(const std::vector<std::string>& list) {
    return list[below(list.size())];
  }

  void change(std::string& s) {
    const size_t at = below(s.size() + 1), n = below(std::min<size_t>(s.size() - at, 64) + 1);
    switch (below(8)) {
      case 0:
        if (at < s.size()) s[at] ^= char(1 << below(8));
        break;
      case 1:
        if (at < s.size()) s[at] = char(random_());
        break;
      case 2:
        s.erase(at, n);
        break;
      case 3:
        s.insert(at, s.substr(at, n));
        break;
      case 4:
        s.insert(at, 1 + below(8), char(random_()));
        break;
      case 5: {  // a part of another
        const std::string& other = one_of(corpus_);
        s.insert(at, other.substr(below(other.size()), below(64)));
        break;
      }
      case 6:
        number(s, at);
        break;
      default:
        if (below(8) == 0) s.resize(at);
    }
  }
  // The next decimal number from `at` on becomes another.
  void number(std::string& s, size_t at) {
    static const std::vector<std::string> kNumbers = {"0",
                                                      "-1",
                                                      "1",
                                                      "255",
                                                      "65536",
                                                      "2147483647",
                                                      "-2147483648",
                                                      "4294967296",
                                                      "9223372036854775807",
                                                      "18446744073709551615",
                                                      "1e300",
                                                      "-1e300",
                                                      "1e-300",
                                                      "0.5"};
    const size_t begin = s.find_first_of("0123456789", at);
    if (begin == std::string::npos) return;
    const size_t end = std::min(s.find_first_not_of("0123456789.", begin), s.size());
    s.replace(begin, end - begin, one_of(kNumbers));
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_;
};

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> read_corpus(int n, char** paths) {
  std::vector<fs::path> files;
  for (int i = 0; i < n; ++i)
    if (fs::is_directory(paths[i]))
      for (const auto& entry : fs::directory_iterator(paths[i])) files.push_back(entry.path());
    else
      files.emplace_back(paths[i]);
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const fs::path& file : files) corpus.push_back(read(file));
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "%s EXECUTIONS SEED FILE-OR-FOLDER...\n", argv[0]);
    return 2;
  }
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL})
    std::signal(signal, keep_input);
  const std::vector<std::string> corpus = read_corpus(argc - 3, argv + 3);
  if (corpus.empty()) {
    std::fprintf(stderr, "no inputs\n");
    return 2;
  }
  for (const std::string& input : corpus) run(input);
  run({});
  Mutator mutator(corpus, std::strtoull(argv[2], nullptr, 10));
  const long n = std::strtol(argv[1], nullptr, 10);
  for (long i = 0; i < n; ++i) run(mutator.next());
  std::printf("%ld executions with seed %s\n", long(corpus.size()) + 1 + n, argv[2]);
  return 0;
}
