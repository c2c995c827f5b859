// What is tortured: elements of the plugin in a pipeline of their own, each open pad linked to a
// Peer.
#pragma once

#include <gst/gst.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "torture/peer.h"
#include "torture/random.h"

namespace omni_test {

struct Topology {
  std::string name, launch;
};

// Each element of the plugin alone, as the registry lists them, and what people build of several.
std::vector<Topology> topologies();

class Subject {
 public:
  explicit Subject(const Topology& topology);
  ~Subject();
  Subject(const Subject&) = delete;

  GstElement* pipeline() const { return pipeline_; }
  const std::vector<GstElement*>& elements() const { return elements_; }
  std::vector<PeerPtr> peers();
  std::vector<PeerPtr> feeders();
  std::vector<PeerPtr> drains();

  // All properties to their defaults, and a small checkpoint for who wants one.
  void set_plain();
  // Of the pipeline, or of one of its elements; what waits downstream goes first, as in a bin.
  GstStateChangeReturn set_state(GstElement* element, GstState state);
  // Of a template of an element; null where it gave none.
  PeerPtr request_pad(GstElement* element, GstPadTemplate* templ);
  void release_pad(const PeerPtr& peer);  // of a pad on request
  static bool is_on_request(const PeerPtr& peer);
  // The first error that was posted since the last call; empty if none was.
  std::string take_error();

  // A whole stream on every pad, on one of each template: what came of it, or an error. The element
  // must be in NULL, and is again.
  struct Outcome {
    std::string error;
    std::vector<std::pair<std::string, Peer::Came>> came;  // by the name of the template
    bool operator==(const Outcome&) const = default;
  };
  Outcome do_job();
  // Where there is one element: one pad of each template on request, in the place of those that
  // were.
  void request_one_of_each();
  // Whether everything is freed when it goes: called in the place of the destructor.
  static std::vector<std::string> destroy(std::unique_ptr<Subject> subject);

 private:
  void stop_behind(GstElement* element, GstState state);
  void add_peers(GstElement* element);

  GstElement* pipeline_ = nullptr;
  std::vector<GstElement*> elements_;
  std::mutex lock_;
  std::vector<PeerPtr> peers_;
};

}  // namespace omni_test
