// An answer being spoken: the text model writes, the sound comes out at the other end while it
// does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "omni/error.h"
#include "omni/types.h"

namespace omni {

// A value that is not set is the checkpoint's, or the family's published one.
struct SpeechOptions {
  std::string voice;                                             // empty: the checkpoint's
  std::optional<double> temperature, top_p, repetition_penalty;  // of the codec tokens
  std::optional<int> top_k;
  std::optional<int> flow_points;       // of the flow's time grid: more is slower and cleaner
  std::optional<double> flow_guidance;  // 0 = none, at half the work
  // blocks of the flow that are computed and thrown away, 0 … 3: fewer begin sooner, and in pieces
  // it is less like the whole
  std::optional<int> flow_look_ahead;
  uint64_t seed = 0;  // the same answer, voice and seed give the same sound
};

// One spoken answer, made by a session (omni/session.h: Utterance). Reads and stops may come from
// different threads; the work is done by threads of its own; sound is made at most some seconds
// ahead of the reader.
class OMNI_API Speech {
 public:
  virtual ~Speech() = default;
  virtual int sample_rate() const = 0;  // mono
  // The next samples in ±1, at most `most`, as soon as there are any; none at the end or after
  // stop(). Throws Error, what stopped the work included.
  virtual std::vector<float> read(size_t most) = 0;
  // Sound that can be read at once.
  virtual Nanoseconds buffered() const = 0;
  // True once reading may begin and, at the pace of the work so far, will not have to wait again.
  virtual bool can_flow() const = 0;
  // Calls `known` once, from a thread of the work or from here, with the length of the whole as
  // soon as the last codec token is there; not after stop().
  virtual void when_duration_is_known(std::function<void(Nanoseconds)> known) = 0;
  // Calls `changed` from any thread, without a lock of this one's, whenever one of can_flow(),
  // is_interrupted(), is_held() and buffered() may have changed. Empty: no more; a call that is
  // being made has returned then.
  virtual void on_change(std::function<void()> changed) = 0;
  // Whoever reads now or later gets the end; the work ends. From any thread.
  virtual void stop() = 0;
  // Asks who plays it to end it within some milliseconds. read() no longer waits.
  virtual void interrupt() = 0;
  virtual bool is_interrupted() const = 0;
  // Asks who plays it to fall silent within some milliseconds, and to read on when it is no longer
  // held. Reading then goes on at `from` of the sound, no later than where it was and at most 3 s
  // earlier.
  virtual void hold() = 0;
  virtual void resume(Nanoseconds from) = 0;
  virtual bool is_held() const = 0;
  // It was cut because it went on far longer than its text.
  virtual bool is_runaway() const = 0;
  // The sound has been read up to here.
  virtual Nanoseconds n_read() const = 0;
};

}  // namespace omni
