// One conversation about one set of streams: segments go in, are laid out in time, and questions
// about what has been seen so far are answered.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "omni/segment.h"
#include "omni/spatial.h"
#include "omni/speech.h"

namespace omni {

struct SamplingOptions {
  int max_tokens = 256;
  double temperature = 0;  // 0 = always the likeliest token
  double top_p = 1;
  int top_k = 0;  // 0 = all
  double repetition_penalty = 1;
  // What the answer must look like: a JSON Schema (docs/spatial.md lists what is supported), or
  // "boxes" or "points" for a list of objects as the family writes them. Empty: anything. The
  // answer then always parses, however random the draws are.
  std::string json_schema;
};

struct SessionOptions {
  std::string system_prompt;
  bool video = false, audio = false;  // the tracks that will come
  Nanoseconds context_duration = 0;   // media older than this leave the context; 0 = 60 s
  uint64_t seed = 0;
  bool speech = false;  // answers may be spoken
};

struct TimeSpan {
  Nanoseconds start = 0, duration = 0;
};

// A piece of an answer: one token.
struct AnswerToken {
  std::string_view bytes;  // what it writes; may be part of a character
  std::string_view text;   // whole characters that it completes; empty for markup
  bool is_markup = false;  // a special token: not part of Answer::text
  double probability = 1;  // that the model gave it, before temperature and masks
};

// The picture that the model saw last.
struct SeenPicture {
  PictureGeometry geometry;
  Nanoseconds time = 0;
};

struct Answer {
  std::string text;
  std::optional<SeenPicture> picture;
  int prompt_tokens = 0;        // in the context when the answer began
  int tokens = 0;               // generated
  Nanoseconds first_token = 0;  // from the call to the first token
  Nanoseconds total = 0;
  bool complete = true;  // false: max_tokens reached, or interrupted
};

// One thread at a time, except for cancel() and interrupt(). Throws Error; after one, only reset()
// and the destructor may be called.
class OMNI_API Session {
 public:
  virtual ~Session() = default;

  // Takes a segment of one of the declared tracks. Segments of a track come in order.
  virtual void append(Segment segment) = 0;
  // Nothing more will come on this track.
  virtual void end(Modality track) = 0;
  // Moves the next complete chunk of time into the context and returns its span; nothing if none is
  // complete. A chunk is complete when every track has reached its end; with `wait_for_all` false
  // it is also complete when some track is a whole chunk ahead of it (live: one stream stalled).
  virtual std::optional<TimeSpan> advance(bool wait_for_all = true) = 0;

  // Answers a question about the context, which afterwards is as before. `on_token` gets the answer
  // while it is written; `speech`, of the same engine and used once, speaks it (it goes on speaking
  // after the return).
  virtual Answer ask(const std::string& question, const SamplingOptions& sampling,
                     const std::function<void(const AnswerToken&)>& on_token = {},
                     Speech* speech = nullptr) = 0;
  // Speaks `text` as if it were the answer to `question`.
  virtual void say(const std::string& question, const std::string& text, Speech& speech) = 0;

  // From any thread: ends a running answer early; it returns what it has.
  virtual void interrupt() = 0;
  // From any thread: makes the running and every later call throw `cancelled`, until reset().
  virtual void cancel() = 0;
  // Forgets all media and clears cancel().
  virtual void reset() = 0;

  virtual Coordinates coordinates() const = 0;   // how the family writes places
  virtual int64_t n_late_segments() const = 0;   // came after their chunk had gone
  virtual int64_t n_context_tokens() const = 0;  // in the cache now
};

}  // namespace omni
