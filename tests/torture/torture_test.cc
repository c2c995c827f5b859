// torture_test [--element NAME] [--seed N] [--seeds N] [--operations N] [--orders] [--list]: does
// to elements what nobody should, from four threads at once, and then asks of each that it does its
// job as a new one would, that nothing of it is left behind, and that GLib had nothing to complain
// of.
//
// A seed decides what each thread does; how the threads interleave is the machine's business, so a
// failing seed may need several tries (--seeds 20 takes the next 20 as well). Without --element a
// seed also decides which element is tortured.
#include <dlfcn.h>
#include <execinfo.h>
#include <gst/gst.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "torture/operations.h"
#include "torture/orders.h"
#include "torture/samples.h"
#include "torture/subject.h"
#include "torture/watchdog.h"

namespace omni_test {
namespace {

struct Options {
  std::string element;
  uint64_t seed = 1, seeds = 1, operations = 2000;
  bool list = false, orders = false;
};

constexpr std::array kRoles = {Role::control, Role::data, Role::data, Role::beside};
constexpr uint64_t kAhead = 30;     // operations
constexpr size_t kRemembered = 24;  // operations of a thread

// What a thread did last, for the report of a hang.
struct Diary {
  std::array<const char*, kRemembered> last{};
  std::atomic<uint64_t> n = 0;

  void note(const char* name) {
    last[n % kRemembered] = name;
    ++n;
  }
  void print(size_t thread) const {
    std::fprintf(stderr, "thread %zu, %lu operations, the last:", thread,
                 static_cast<unsigned long>(n));
    for (uint64_t i = n > kRemembered ? n - kRemembered : 0; i < n; ++i)
      std::fprintf(stderr, " %s,", last[i % kRemembered]);
    std::fprintf(stderr, "\n");
  }
};

class Torture {
 public:
  Torture(const Topology& topology, uint64_t seed, uint64_t operations, Watchdog& watchdog)
      : topology_(topology), seed_(seed), operations_(operations), watchdog_(watchdog) {}

  // False: it did not survive.
  bool run(const Subject::Outcome& wanted) {
    auto subject = std::make_unique<Subject>(topology_);
    subject_ = subject.get();
    std::vector<std::thread> threads;
    for (size_t i = 1; i < kRoles.size(); ++i)
      threads.emplace_back([this, i, s = subject.get()] { work(*s, i); });
    work(*subject, 0);
    doing_ = "stopping";
    subject->set_state(subject->pipeline(), GST_STATE_NULL);
    for (std::thread& t : threads) t.join();
    watchdog_.beat();
    doing_ = "its job afterwards";
    const Subject::Outcome outcome = subject->do_job();
    bool ok = outcome == wanted;
    if (!ok) report(outcome, wanted);
    watchdog_.beat();
    doing_ = "being freed";
    subject_ = nullptr;
    for (const std::string& name : Subject::destroy(std::move(subject))) {
      std::fprintf(stderr, "%s is never freed\n", name.c_str());
      ok = false;
    }
    return ok;
  }

  // Of elements that hang: their properties and pads. It may hang itself: the last that is printed.
  void print_elements() const {
    const Subject* subject = subject_;
    if (!subject) return;
    for (GstElement* e : subject->elements()) {
      for (GList* l = e->pads; l; l = l->next)
        std::fprintf(stderr, "%s:%s flags %x, %s, task %d\n", GST_DEBUG_PAD_NAME(l->data),
                     GST_OBJECT_FLAGS(l->data),
                     gst_pad_is_linked(GST_PAD(l->data)) ? "linked" : "not linked",
                     int(gst_pad_get_task_state(GST_PAD(l->data))));
      if (!g_object_class_find_property(G_OBJECT_GET_CLASS(e), "stats")) continue;
      GstStructure* stats = nullptr;
      g_object_get(e, "stats", &stats, nullptr);
      gchar* text = stats ? gst_structure_to_string(stats) : nullptr;
      std::fprintf(stderr, "%s: %s\n", GST_OBJECT_NAME(e), text ? text : "");
      g_free(text);
      if (stats) gst_structure_free(stats);
    }
  }

  void print() const {
    std::fprintf(stderr, "torture_test --element %s --seed %lu (%s)\n", topology_.name.c_str(),
                 static_cast<unsigned long>(seed_), doing_.load());
    for (size_t i = 0; i < kRoles.size(); ++i) diaries_[i].print(i);
  }

 private:
  void work(Subject& subject, size_t thread) {
    Random random(seed_ * kRoles.size() + thread);
    for (uint64_t i = 0; i < operations_ / kRoles.size(); ++i) {
      if (thread == 0)
        advance(i);
      else
        keep_pace(i);
      const Operation& operation = draw_operation(kRoles[thread], random);
      diaries_[thread].note(operation.name);
      operation.run(subject, random);
      watchdog_.beat();
    }
    if (thread == 0) advance(UINT64_MAX);
  }

  // Nobody runs far ahead of the thread that changes the states.
  void advance(uint64_t i) {
    {
      std::lock_guard guard(lock_);
      leader_ = i;
    }
    advanced_.notify_all();
  }
  void keep_pace(uint64_t i) {
    std::unique_lock lock(lock_);
    advanced_.wait(lock, [&] { return leader_ == UINT64_MAX || i <= leader_ + kAhead; });
  }

  void report(const Subject::Outcome& outcome, const Subject::Outcome& wanted) {
    std::fprintf(stderr, "it no longer does its job: %s\n", outcome.error.c_str());
    for (const auto* o : {&outcome, &wanted})
      for (const auto& [pad, came] : o->came)
        std::fprintf(stderr, "  %s%s: %lu buffers, %s\n", o == &wanted ? "a new one, " : "",
                     pad.c_str(), static_cast<unsigned long>(came.buffers),
                     came.eos ? "the end" : "no end");
  }

  const Topology topology_;
  const uint64_t seed_;
  const uint64_t operations_;
  Watchdog& watchdog_;
  std::array<Diary, kRoles.size()> diaries_;
  std::mutex lock_;
  std::condition_variable advanced_;
  uint64_t leader_ = 0;
  std::atomic<const char*> doing_ = "torture";
  std::atomic<const Subject*> subject_ = nullptr;
};

std::atomic<Torture*> current = nullptr;
std::string current_order;  // what the script is about

void describe() {
  if (!current_order.empty())
    std::fprintf(stderr, "torture_test --orders (%s)\n", current_order.c_str());
  if (Torture* t = current) t->print();
}

void describe_hang() {
  if (!current_order.empty()) describe();
  if (Torture* t = current) {
    t->print();
    t->print_elements();
  }
}

// Whether the nearest code that is neither GLib nor a library of GStreamer's is another plugin,
// which omnibin uses as it is.
bool is_of_other_plugin() {
  void* frames[64];
  const int n = backtrace(frames, 64);
  for (int i = 0; i < n; ++i) {
    Dl_info info;
    if (!dladdr(frames[i], &info) || !info.dli_fname) continue;
    const std::string file = info.dli_fname;
    if (file.find("/gstreamer-1.0/") == std::string::npos) continue;
    return file.find("libgstomni") == std::string::npos;
  }
  return false;
}

// A CRITICAL of GLib or GStreamer is a finding: it ends the program where it came from.
void log_handler(const gchar* domain, GLogLevelFlags level, const gchar* text, gpointer) {
  if (!(level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR))) return;
  if (!(level & G_LOG_LEVEL_ERROR) && is_of_other_plugin()) return;
  std::fprintf(stderr, "%s: %s\n", domain ? domain : "", text);
  describe();
  print_backtraces();
  std::abort();
}

void crash_handler(int number) {
  std::signal(number, SIG_DFL);
  std::fprintf(stderr, "signal %d\n", number);
  describe();
  print_backtraces();
  std::raise(number);
}

class Run {
 public:
  explicit Run(const Options& options)
      : options_(options), all_(topologies()), watchdog_(std::chrono::seconds(60), describe_hang) {}

  // Every event in every state, of all topologies or of the one that was asked for.
  bool orders() {
    record_samples();
    int n_failed = 0;
    for (const Topology& t : all_) {
      if (!options_.element.empty() && t.name != options_.element) continue;
      const Subject::Outcome wanted = Subject(t).do_job();
      const std::string finding = run_orders(t, wanted, [&](const char* situation) {
        current_order = t.name + ": " + situation;
        watchdog_.beat();
      });
      if (finding.empty()) continue;
      ++n_failed;
      std::fprintf(stderr, "FAILED: torture_test --orders --element %s: %s\n", t.name.c_str(),
                   finding.c_str());
    }
    forget_samples();
    std::printf("every event in every state of %zu topologies, %d failed\n", all_.size(), n_failed);
    return n_failed == 0;
  }

  bool all() {
    record_samples();
    uint64_t n_operations = 0;
    int n_failed = 0;
    for (uint64_t seed = options_.seed; seed < options_.seed + options_.seeds; ++seed) {
      const Topology* topology = topology_of(seed);
      if (!topology) return false;
      n_operations += options_.operations;
      if (one(*topology, seed)) continue;
      ++n_failed;
      std::fprintf(stderr, "FAILED: torture_test --element %s --seed %lu --operations %lu\n",
                   topology->name.c_str(), static_cast<unsigned long>(seed),
                   static_cast<unsigned long>(options_.operations));
    }
    forget_samples();
    std::printf("%lu seeds, %lu operations, %d failed\n",
                static_cast<unsigned long>(options_.seeds),
                static_cast<unsigned long>(n_operations), n_failed);
    return n_failed == 0;
  }

 private:
  const Topology* topology_of(uint64_t seed) const {
    if (options_.element.empty()) return &all_[seed % all_.size()];
    for (const Topology& t : all_)
      if (t.name == options_.element) return &t;
    std::fprintf(stderr, "no element or topology %s\n", options_.element.c_str());
    return nullptr;
  }

  bool one(const Topology& topology, uint64_t seed) {
    if (!wanted_.contains(topology.name)) wanted_[topology.name] = Subject(topology).do_job();
    const Subject::Outcome& wanted = wanted_[topology.name];
    if (!wanted.error.empty()) {
      std::fprintf(stderr, "%s does not do its job: %s\n", topology.name.c_str(),
                   wanted.error.c_str());
      return false;
    }
    Torture torture(topology, seed, options_.operations, watchdog_);
    current = &torture;
    const bool ok = torture.run(wanted);
    if (!ok) torture.print();
    current = nullptr;
    return ok;
  }

  const Options options_;
  const std::vector<Topology> all_;
  std::map<std::string, Subject::Outcome> wanted_;
  Watchdog watchdog_;
};

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--list" || option == "--orders") {
      (option == "--list" ? o.list : o.orders) = true;
      continue;
    }
    if (++i == argc) return false;
    if (option == "--element")
      o.element = argv[i];
    else if (option == "--seed")
      o.seed = std::strtoull(argv[i], nullptr, 10);
    else if (option == "--seeds")
      o.seeds = std::strtoull(argv[i], nullptr, 10);
    else if (option == "--operations")
      o.operations = std::strtoull(argv[i], nullptr, 10);
    else
      return false;
  }
  return true;
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  using namespace omni_test;
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "torture_test [--element NAME] [--seed N] [--seeds N] [--operations N] [--orders] "
                 "[--list]\n");
    return 2;
  }
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP})
    std::signal(number, crash_handler);
  g_setenv("GST_REGISTRY_FORK", "no", TRUE);
  g_log_set_default_handler(log_handler, nullptr);
  gst_init(nullptr, nullptr);
  bool ok = true;
  if (options.list)
    for (const Topology& t : topologies()) std::printf("%s\n", t.name.c_str());
  else
    ok = options.orders ? Run(options).orders() : Run(options).all();
  gst_deinit();
  return ok ? 0 : 1;
}
