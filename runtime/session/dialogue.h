// The context of a session, row by row: system turn · opening of the user's turn · [markers · chunk
// · chunk · …] and, only while a question is being answered, [markers · question · answer]. When
// the window slides, the oldest chunk's rows leave the cache and the kept ones are come nearer to
// the beginning, so that positions never grow and nothing is computed again.
//
// The markers of a run are those of the tracks that its first chunk has: the model is never told
// of pictures or sound that are missing. Which they are is known when a question or a second chunk
// comes; where the guess was wrong, the first chunk is laid out anew. A run that has no markers for
// what a later chunk brings is over, and another begins with that chunk.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "decoding/sampler.h"
#include "decoding/sequence.h"
#include "session/answer_masks.h"
#include "session/answer_reader.h"
#include "session/speech_stream.h"

namespace omni {

struct DialogueOptions {
  std::string system_prompt;
  Tracks tracks;                     // that are expected
  Nanoseconds context_duration = 0;  // media older than this leave the context
  uint64_t seed = 0;
  bool speech = false;  // answers may be spoken
  bool live = false;    // computed before what is not
};

// Of one thread but for cancel(). Throws Error; after one that is not
// invalid_argument or unsupported it is of no more use.
class Dialogue {
 public:
  Dialogue(const Prompter& prompter, Scheduler& scheduler, AnswerMasks& masks,
           const DialogueOptions& options);

  // A segment of the chunk at `chunk`, which is the last one's or a new one.
  void add(const TimeSpan& chunk, Segment segment);

  // Answers a question about the context, which afterwards is as before.
  struct How {
    SamplingOptions sampling;
    std::function<void(const AnswerToken&)> on_token;  // gets the answer while it is written
    bool wants_probabilities = false;                  // of these tokens
    SpeechStream* speech = nullptr;                    // is told the answer
    const std::atomic<bool>& interrupted;              // ends it early
  };
  Answer ask(const std::string& question, const How& how);
  // Speaks `text` as if it were the answer to `question`.
  void say(const std::string& question, const std::string& text, SpeechStream& speech);

  // From any thread: what is being done, and all that follows, throws cancelled.
  void cancel() noexcept { sequence_.cancel(); }

  bool may_speak() const { return options_.speech; }
  bool has_picture() const { return picture_.has_value(); }
  int64_t n_rows() const { return sequence_.length(); }

 private:
  struct HeldChunk {
    Nanoseconds start;
    int64_t n_rows;
    int32_t n_steps;   // of the grids of its frames
    int32_t position;  // where it begins
    Tracks tracks;     // of which it has something
  };

  void open();
  void open_chunk(const TimeSpan& chunk, Modality first);
  void make_room(const TimeSpan& coming);
  void begin_run(Tracks tracks, Modality first, Nanoseconds start);
  void begin_run_anew(Tracks tracks);
  void settle_run();
  void forget_run();
  void enter(const Segment& segment);
  Sequence::Mark put_question(const std::string& question, int max_tokens);
  void begin_speech(SpeechStream* speech);
  void write(int32_t id, std::string_view bytes, SpeechStream* speech);
  TokenMask* begin_mask(SamplingOptions sampling, int n_tokens);
  void generate(Answer& answer, const How& how, TokenMask* mask, Nanoseconds begin);

  const Prompter& prompter_;
  const TextModel& text_;
  AnswerMasks& masks_;
  const DialogueOptions options_;
  Sequence sequence_;
  Sampler sampler_;
  std::optional<SeenPicture> picture_;  // the last one in the context
  bool is_open_ = false;
  Sequence::Mark before_run_{};  // where the run of media begins
  Nanoseconds run_start_ = 0;    // media time of position run_base
  Tracks run_tracks_;            // of which it has the markers
  Modality first_{};             // what came first in it
  std::deque<HeldChunk> chunks_;
  std::vector<Segment> newest_;  // of the last chunk
  int64_t n_media_rows_ = 0;     // of the run
};

}  // namespace omni
