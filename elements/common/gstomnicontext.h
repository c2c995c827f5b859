// How the elements of a pipeline agree on one checkpoint. model-path is set on any one of them;
// that element announces it as a GstContext of type "omni.engine"; the others ask their neighbours
// and then the application, as for CUDA and GL contexts. Whoever opens the same checkpoint shares
// one copy of the weights (omni::Engine::open).
#pragma once

#include <gst/gst.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "common/gstomniproperties.h"
#include "common/gstomniptr.h"
#include "omni/engine.h"

#define GST_OMNI_ENGINE_CONTEXT "omni.engine"

GType gst_omni_precision_get_type();

struct GstOmniEngineSettings : GstOmniSettings {
  std::string model_path, device = "auto";
  int precision = int(omni::Precision::automatic);
  guint threads = 0;
};

// The four rows of the property table that every element with an engine has.
template <class Settings>
std::vector<GstOmniProperty<Settings>> gst_omni_engine_properties() {
  return {
      {"model-path", "Model path",
       "Folder of a checkpoint in the Hugging Face layout, or the name of an installed one (nano); "
       "set it on any one element of the pipeline",
       &Settings::model_path},
      {"device", "Device",
       "Where to compute: cpu, cuda or cuda:N (auto = the first GPU with room for the checkpoint, "
       "else cpu)",
       &Settings::device},
      {"precision", "Precision", "Number format of the products", &Settings::precision, 0, 0,
       GstOmniMutable::ready, gst_omni_precision_get_type},
      {"threads", "Threads", "Threads to compute with (0 = one for each processor)",
       &Settings::threads, 0, 1024},
  };
}

// Whether the checkpoint in `model_path` takes audio. If it does not, the element posts a warning
// that says what it can do. True where that cannot be told yet.
bool gst_omni_takes_audio(GstElement* element, const std::string& model_path);

class GstOmniEngineContext {
 public:
  explicit GstOmniEngineContext(GstElement* element, GstOmniEngineSettings& settings)
      : element_(element), settings_(settings) {}

  // NULL → READY: announces the checkpoint, if this element was told one.
  void announce();
  // A property was set: from READY on what was announced is announced again.
  void settings_changed();
  // PAUSED → READY: what neighbours and bins have said holds no longer.
  void forget();
  // From set_context().
  void take(GstContext* context);
  // Answers a CONTEXT query; false if it asks for something else or nothing is known.
  bool answer(GstQuery* query);
  // The device that the agreed checkpoint is, or will be, opened on.
  std::string device();
  // Loads (or joins) the checkpoint with PROGRESS messages; for a streaming or worker thread.
  // Throws omni::Error; `cancelled` once keep_going() is false.
  std::shared_ptr<const omni::Engine> open(const std::function<bool()>& keep_going,
                                           bool with_speech = false);
  // Of the agreed checkpoint as far as it is known without asking others; may be empty.
  std::string model_path();
  // Of the engine that was opened last: what computes in it, and what has been copied between the
  // host and its device; empty before.
  std::string compute();
  omni::CopiedBytes copied();

 private:
  ContextPtr own();
  ContextPtr known();
  ContextPtr find();
  void load(const char* what, const std::function<bool()>& keep_going,
            const std::function<void(const std::function<void(double)>&)>& body);

  GstElement* element_;
  GstOmniEngineSettings& settings_;
  std::mutex lock_;
  ContextPtr context_;                        // under lock_: what others have said
  std::string compute_;                       // under lock_
  std::weak_ptr<const omni::Engine> engine_;  // under lock_
};

// Sends the runtime's log lines to the debug category "omni".
void gst_omni_install_log_sink();
