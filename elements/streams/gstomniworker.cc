#include "streams/gstomniworker.h"

#include <utility>

#include "common/gstomniguard.h"

bool GstOmniWorker::start() {
  {
    std::lock_guard guard(lock_);
    running_ = true;
    flushing_ = restart_due_ = false;
  }
  if (!pad_)
    return gst_omni_guard(element_, false, [this] {
      thread_ = std::thread([this] { run(); });
      return true;
    });
  const auto loop = [](gpointer self) {
    static_cast<GstOmniWorker*>(self)->run();
    gst_pad_pause_task(static_cast<GstOmniWorker*>(self)->pad_);
  };
  return gst_pad_start_task(pad_, loop, this, nullptr);
}

void GstOmniWorker::stop() {
  {
    std::lock_guard guard(lock_);
    running_ = false;
  }
  job_.cancel();
  changed_.notify_all();
  if (pad_)
    gst_pad_stop_task(pad_);
  else if (thread_.joinable())
    thread_.join();
}

void GstOmniWorker::flush_start() {
  {
    std::lock_guard guard(lock_);
    flushing_ = true;
  }
  job_.cancel();
  changed_.notify_all();
}

void GstOmniWorker::flush_stop() {
  std::unique_lock lock(lock_);
  flushing_ = true;
  changed_.wait(lock, [this] { return !stepping_; });
  restart_due_ = true;
}

void GstOmniWorker::resume() {
  {
    std::lock_guard guard(lock_);
    flushing_ = false;
    ++n_wakes_;  // a flush may be over before a worker that waits has seen it
  }
  changed_.notify_all();
}

void GstOmniWorker::wake() {
  {
    std::lock_guard guard(lock_);
    ++n_wakes_;
  }
  changed_.notify_all();
}

bool GstOmniWorker::is_running() {
  std::lock_guard guard(lock_);
  return running_;
}

void GstOmniWorker::check_cancelled() {
  std::lock_guard guard(lock_);
  if (!running_ || flushing_) throw omni::Error(omni::ErrorCode::cancelled, "cancelled");
}

void GstOmniWorker::run() {
  const bool ready = gst_omni_guard(element_, false, [this] {
    job_.begin();
    return true;
  });
  if ((!ready || !work()) && is_running()) job_.failed();
  job_.end();
}

// False: an error was posted. True: it was told to stop.
bool GstOmniWorker::work() {
  for (;;) {
    uint64_t seen = 0;
    bool restart = false;
    {
      std::unique_lock lock(lock_);
      changed_.wait(lock, [this] { return !running_ || !flushing_; });
      if (!running_) return true;
      seen = n_wakes_;
      restart = std::exchange(restart_due_, false);
      stepping_ = true;
    }
    const GstOmniRound round = gst_omni_round(element_, [&] {
      if (restart) job_.restart();
      return job_.step();
    });
    std::unique_lock lock(lock_);
    stepping_ = false;
    changed_.notify_all();
    if (round == GstOmniRound::broken) return false;
    if (round == GstOmniRound::cancelled) restart_due_ = true;
    if (round == GstOmniRound::idle)
      changed_.wait(lock, [&] { return !running_ || flushing_ || n_wakes_ != seen; });
  }
}
