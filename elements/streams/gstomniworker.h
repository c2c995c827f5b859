// The life of the thread in which an element computes: started with a pad or with the element,
// stopped by a state change, parked by a flush, ended by an error. It waits for one thing, which is
// wake(); whoever changes what it could be waiting for calls that. Safe against state changes and
// flushes at any moment and from any thread.
//
//   READY → PAUSED   start ──► begin ──► step, step … ──► end   PAUSED → READY
//   FLUSH_START      flush_start: the running step is cut short, no other begins
//   FLUSH_STOP       flush_stop: waits until the step is over · resume: restart, then steps again
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "omni/error.h"

class GstOmniWorker {
 public:
  // What is done in the thread. Every function may throw omni::Error: `cancelled` is no error and
  // only ends the step, any other is posted as an ERROR message and is the last that is done.
  class Job {
   public:
    virtual ~Job() = default;
    virtual void begin() = 0;  // once, ahead of the first step; may take long (loads a checkpoint)
    virtual bool step() = 0;   // false: there was nothing to do
    // after a flush, and after a step that was cancelled: what was begun is void
    virtual void restart() = 0;
    virtual void failed() = 0;  // an error was posted: nothing more will come
    virtual void end() = 0;     // the thread ends: gives back what begin() and the steps took
    // From any thread: a running begin() or step() shall throw `cancelled` soon.
    virtual void cancel() {}
  };

  // `pad`: the thread is this source pad's task; nullptr: a thread of its own.
  GstOmniWorker(GstElement* element, GstPad* pad, Job& job)
      : element_(element), pad_(pad), job_(job) {}

  bool start();
  void stop();  // returns when the thread has ended
  void flush_start();
  // Returns when no step is running any more. Steps begin again with resume().
  void flush_stop();
  void resume();
  void wake();

  // False from stop() on: begin() gives up.
  bool is_running();
  // Throws `cancelled` once a flush or the end has come: between the parts of a long step.
  void check_cancelled();

 private:
  void run();
  bool work();

  GstElement* const element_;
  GstPad* const pad_;
  Job& job_;
  std::thread thread_;  // where there is no pad

  std::mutex lock_;  // guards all below; never held while calling out
  std::condition_variable changed_;
  uint64_t n_wakes_ = 0;
  bool running_ = false, flushing_ = false, stepping_ = false, restart_due_ = false;
};
