// The context of a session, row by row: system turn · opening of the user's turn · [markers · chunk
// · chunk · …] and, only while a question is being answered, [markers · question · answer]. When
// the window slides, the oldest chunk's rows leave the cache and the kept ones are come nearer to
// the beginning, so that positions never grow and nothing is computed again.
//
// Where turns are remembered, an answer ends the run: head · turn [run · question · answer] · turn
// … · [run]. What is remembered has the tokens and positions of the family's template with the text
// of the answer, whatever they were while it was written; rows that are the same are not computed
// again. A turn leaves as a whole, the oldest first, before any chunk of the open run: all rows
// behind it then move alike, to where they would be had it never been.
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
#include "session/archive.h"
#include "session/speech_stream.h"
#include "session/tools.h"

namespace omni {

struct DialogueOptions {
  std::string system_prompt;
  Tracks tracks;                     // that are expected
  Nanoseconds context_duration = 0;  // media older than this leave the context
  uint64_t seed = 0;
  bool speech = false;     // answers may be spoken
  bool live = false;       // computed before what is not
  bool remembers = false;  // turns
  // The oldest leave so that there are no more. 0: as many as the model holds where turns are
  // remembered; media that it does not hold are an error otherwise.
  int64_t most_rows = 0;
  Tools tools;  // none where the family has no template for them
};

// Of one thread but for cancel(). Throws Error; after one that is not
// invalid_argument or unsupported it is of no more use.
class Dialogue {
 public:
  Dialogue(const Prompter& prompter, Scheduler& scheduler, AnswerMasks& masks,
           const DialogueOptions& options);

  // A segment of the chunk at `chunk`, which is the last one's or a new one.
  void add(const TimeSpan& chunk, Segment segment);

  // Answers a question about the context, which afterwards is as before, or remembers the turn.
  struct How {
    SamplingOptions sampling;
    std::function<void(const AnswerToken&)> on_token;  // gets the answer while it is written
    bool wants_probabilities = false;                  // of these tokens
    SpeechStream* speech = nullptr;                    // is told the answer
    const std::atomic<bool>& interrupted;              // ends it early
    TurnId remembered_as = 0;                          // 0: it is not
    // Makes calls of tools, and returns what came of each. nullptr: none may be made, and one that
    // is begun ends the answer.
    std::function<std::vector<std::string>(const std::vector<ToolCall>&)> call = nullptr;
  };
  // --- dialogue_answer.cc
  Answer ask(const std::string& question, const How& how);
  // Calls `ask_then` with the context as it was behind each picture of the last chunk but the last,
  // until it returns true. Afterwards the context is as before (where rows have left to make room
  // since then, those that are put in again have not seen them).
  void look_back(const std::function<bool()>& ask_then);
  // `text` is the answer to `question`: spoken where there is a speech, remembered as above.
  void say(const std::string& question, const std::string& text, SpeechStream* speech,
           TurnId remembered_as = 0);

  bool has_tools() const { return !options_.tools.empty(); }

  // --- turns that are remembered
  bool remembers() const { return options_.remembers; }
  // The last one, while its answer may still turn out shorter: it was spoken, and no other turn
  // has been remembered since. 0: none.
  TurnId revisable() const { return revisable_; }
  // Only `answer` of it was said. What has come since enters again behind it.
  void revise(const std::string& answer);
  // All of it was.
  void settle();
  const std::deque<RememberedTurn>& turns() const { return turns_; }
  uint64_t n_changes() const { return n_changes_; }  // of turns()

  // --- dialogue_file.cc
  // All of it, so that one that load()s it goes on as this one does.
  void save(ArchiveWriter& to);
  // Of one that was just made; after an error it is of no more use. Throws corrupt_file,
  // out_of_memory.
  void load(ArchiveReader& from);
  // What it has to be loaded in: a text of the model and of the options that shape the rows.
  std::string kind() const;
  // The next chunk comes right behind the last one, whatever the times.
  void begin_clock() { has_new_clock_ = true; }
  void set_live(bool live);  // computed before what is not

  // From any thread: what is being done, and all that follows, throws cancelled.
  void cancel() noexcept { sequence_.cancel(); }

  bool may_speak() const { return options_.speech; }
  bool has_picture() const { return last_picture().has_value(); }
  int64_t n_rows() const { return sequence_.length(); }
  const Sequence& sequence() const { return sequence_; }

 private:
  struct HeldChunk {
    Nanoseconds start;
    int64_t n_rows;
    int32_t n_steps;   // of the grids of its frames
    int32_t position;  // where it begins
    Tracks tracks;     // of which it has something
  };
  // Rows and positions of a turn that is remembered, beside what turns_ says of it.
  struct HeldTurn {
    int64_t n_rows;
    int32_t position;                    // where it begins
    Nanoseconds end;                     // of its media
    std::optional<SeenPicture> picture;  // the last of its own
    std::vector<ToolStep> steps;         // ahead of the rest of its answer
  };
  // What was said in a turn. Of an answer with steps: what came behind the last one.
  struct Exchange {
    std::string question;
    std::vector<ToolStep> steps;
    std::string answer;
  };
  struct Writing;
  struct Since {  // the revisable turn
    TimeSpan chunk;
    Segment segment;
  };
  // Places of a question that was put behind the media.
  struct Asked {
    Sequence::Mark context, question;  // where each begins: ahead of the markers and behind them
  };

  void open();
  void open_chunk(const TimeSpan& chunk, Modality first);
  void begin_run(Tracks tracks, Modality first, Nanoseconds start);
  void begin_run_anew(Tracks tracks);
  void settle_run();
  void forget_run();
  void take_in(const TimeSpan& chunk, Segment segment);
  void enter(const Segment& segment);
  std::vector<Segment> take_back(size_t n);
  Asked put_question(const std::string& question, int max_tokens);
  std::optional<SeenPicture> last_picture() const;

  // --- dialogue_memory.cc
  void make_room(const TimeSpan& coming);
  bool fits(int64_t n_rows, int64_t end) const;
  bool forget_oldest();
  void forget_chunks(size_t n);
  void forget_turns(size_t n);
  void move_marks(int64_t n_rows, int32_t n_positions);
  void slide_mark(Sequence::Mark& mark, int64_t n_rows, const Departed& departed) const;
  void remember(const Asked& asked, Exchange exchange, TurnId turn, bool spoken);
  void write_turn(const Sequence::Mark& at, const Exchange& exchange);
  void replace(const Sequence::Mark& at, const Cursor& end, Rows rows);
  void end_run();

  // --- dialogue_file.cc
  void load_chunks(ArchiveReader& from, int64_t n_rows);
  void load_turns(ArchiveReader& from, int64_t n_rows);
  void require_consistent(const ArchiveReader& from, const Sequence::Saved& saved) const;
  void follow_clock(Nanoseconds start);

  // Of text behind the head: in the lane that moves with turns, where there are any.
  Rows in_turn(Rows rows) const;

  // --- dialogue_answer.cc
  void begin_speech(SpeechStream* speech);
  void write(int32_t id, std::string_view bytes, SpeechStream* speech);
  TokenMask* begin_mask(const How& how, int n_left);
  bool write_step(Writing& writing);
  void settle_text(Writing& writing, bool goes_on);
  void think(Writing& writing, int32_t id);
  bool write_word(Writing& writing, int32_t id, double probability);
  bool write_call(Writing& writing);
  bool use_tools(const Asked& asked, const std::string& question, Writing& writing);
  void leave(const Asked& asked, Exchange exchange, TurnId remembered_as,
             const SpeechStream* speech);

  const Prompter& prompter_;
  const TextModel& text_;
  AnswerMasks& masks_;
  const DialogueOptions options_;
  Sequence sequence_;
  Sampler sampler_;
  std::optional<SeenPicture> picture_;  // the last one of the run
  bool is_open_ = false;
  Sequence::Mark head_{};        // behind what always stays
  Sequence::Mark before_run_{};  // where the run of media begins
  Nanoseconds run_start_ = 0;    // media time of position run_base
  Tracks run_tracks_;            // of which it has the markers
  Modality first_{};             // what came first in it
  std::deque<HeldChunk> chunks_;
  std::vector<Segment> newest_;                // of the last chunk
  std::vector<Sequence::Mark> behind_newest_;  // of each of them
  int64_t n_media_rows_ = 0;                   // of the run
  Nanoseconds reached_ = 0;                    // end of the last chunk

  std::deque<RememberedTurn> turns_;
  std::deque<HeldTurn> held_turns_;  // the same
  uint64_t n_changes_ = 0;
  TurnId revisable_ = 0;
  Sequence::Mark revisable_question_{};  // where it begins
  std::deque<Since> since_;
  bool has_new_clock_ = false;  // since the last chunk
};

}  // namespace omni
