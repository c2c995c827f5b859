// One conversation about one set of streams: media and questions go in, events come out. What is
// asked when, what of an answer is text, objects or speech, who may speak, and what is dropped when
// time is short is decided here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "omni/segment.h"
#include "omni/spatial.h"
#include "omni/speech.h"
#include "omni/tools.h"

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

struct TimeSpan {
  Nanoseconds start = 0, duration = 0;
  Nanoseconds end() const { return start + duration; }
  bool operator==(const TimeSpan&) const = default;
};

enum class Track { video, audio, questions };  // questions: everything that asks with put()

// When the standing questions are asked: after every chunk of media, every `interval` of it, when
// all media have ended, when somebody has finished speaking (TurnEnded). With `prompt` and `manual`
// they are not. event: after every chunk, but only an answer that says something else than the one
// before comes out, for the picture from which on it is so.
enum class Trigger { chunk, interval, prompt, eos, manual, turn, event };

// Which answers to standing questions are spoken, where answers may be: those that come out, all
// (with Trigger::event also what is not new), none. What was said with Trigger::turn is no standing
// question.
enum class SpeakOn { change, always, never };

// match: objects of successive answers that match get the same track; predict: and a velocity.
enum class Tracking { none, match, predict };

constexpr Nanoseconds kDefaultToolTimeout = 30 * kSecond;

// What may change while a session runs, as a whole. An answer that has begun is not changed by it.
struct SessionSettings {
  Trigger trigger = Trigger::manual;
  Nanoseconds interval = 10 * kSecond;
  // The standing question, for those who read. With Trigger::turn empty: what was said is it.
  std::string prompt;
  std::string spatial_prompt;  // the standing question, for those who want objects
  SamplingOptions sampling;    // of questions that bring none
  Tracking tracking = Tracking::match;
  SpeechOptions speech;
  SpeakOn speak_on = SpeakOn::change;
  // With Trigger::event: the answer that says so; empty: none does.
  std::string nothing_new;
  bool barge_in = true;  // a user's question or voice interrupts what is being spoken
  // With Trigger::turn, a voice that is over sooner was a cough or a backchannel: what was being
  // spoken is silent meanwhile, and goes on with the word that it was at; nothing is asked. 0:
  // there are none.
  Nanoseconds resume_false_interruption = 0;
  // Who wants what: text, its pieces while they are written, objects. Where nobody wants anything,
  // the standing question is still `prompt`.
  bool wants_text = true, wants_pieces = false, wants_objects = false;
  // Live: an answer is promised this long after the beginning of its media; media that are not
  // there by then are not waited for.
  std::optional<Nanoseconds> promise;
  // A call of a tool that has no result by then gets an error in its place; 0: it is waited for as
  // long as media or questions may come, and for kDefaultToolTimeout then.
  Nanoseconds tool_timeout = kDefaultToolTimeout;
  bool stamped_when_ready = false;  // live: text gets the time at which it is there
  // Settled by the first thing that is put, and anew after a flush() or reset(): the tracks that
  // will come, whether answers may be spoken, and whether turns stay in the context: what was
  // asked, and what was answered and, where that was spoken, heard. Turns about objects never do.
  bool has_video = false, has_audio = false, has_questions = false, wants_speech = false;
  bool remember = false;
};

// live: media come at the pace of a clock, and what comes too late is worth little.
struct ClockReading {
  bool live = false;
  std::optional<Nanoseconds> now = std::nullopt;  // running time
};

struct SessionOptions {
  std::string system_prompt;
  // Media older than this leave the context, and turns all of whose media are; 0 = 60 s.
  Nanoseconds context_duration = 0;
  // And the oldest of both, so that there are no more tokens; 0 = as many as the model holds, where
  // turns are remembered.
  int64_t context_tokens = 0;
  uint64_t seed = 0;
  // Functions that answers may call, a JSON list in OpenAI's form; empty: none. Answers to the
  // standing questions of Trigger::event and those about objects make no calls.
  std::string tools;
  SessionSettings settings;
  size_t most_waiting = 16;  // segments of a track
  // Not live: how long all else may wait for a track that brings nothing, where the track has
  // brought something before, and where it never has. None: for ever.
  std::optional<Nanoseconds> patience, patience_at_first;
  // Both are called from any thread, without a lock of the session's. Empty: not live.
  std::function<ClockReading()> clock;
  std::function<void()> on_room;  // what put() has refused may fit now
};

// --- what goes in

using TurnId = uint64_t;  // a question and its answer

struct UserText {
  std::string text;
  Nanoseconds time = 0;  // running time of the media that must be there first; 0 = none
};
struct TrackBegan {
  Track track;
};  // after it ended
struct TrackEnded {
  Track track;
};

// Told by whoever hears the audio track (omni/turn_detector.h). Running time.
struct VoiceBegan {
  Nanoseconds start;
};
struct TurnEnded {
  TimeSpan speech;   // from its first voice to its last
  Nanoseconds time;  // when it was known; the sound up to here is put first
};

// Told by whoever plays an Utterance: just ahead of its first sound, and when it is over.
struct SpeechBegan {
  TurnId turn;
  Nanoseconds start;  // running time
};
enum class SpeechEnd { finished, interrupted, runaway };
struct SpeechEnded {
  TurnId turn;
  SpeechEnd end;
  Nanoseconds start, heard;  // heard: so much of it was played
};

// A ToolResult answers a ToolCall that came out; the turn goes on when all of its calls have one.
using Input = std::variant<Segment, UserText, ToolResult, TrackBegan, TrackEnded, VoiceBegan,
                           TurnEnded, SpeechBegan, SpeechEnded>;

struct Admission {
  // false (not live): full; on_room tells when to try again. Of a ToolResult: no call of its id
  // waits for one (any more), or it is longer than 64 KiB or no UTF-8.
  bool accepted = true;
  // Live: the oldest segment of the track, which made room.
  std::optional<TimeSpan> dropped = std::nullopt;
};

struct Question {
  std::string text;
  std::optional<SamplingOptions> sampling = std::nullopt;  // instead of the settings'
  std::string reply = {};  // spoken as if it were the answer; nothing is generated then
  bool remembered = true;  // false: the turn leaves no trace, though others are remembered
};

// A turn in the context. Of an answer that was cut while it was spoken: the words that were heard.
struct RememberedTurn {
  TurnId turn;
  std::string question, answer;
  bool operator==(const RememberedTurn&) const = default;
};

// --- what comes out

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
  Nanoseconds first_token = 0;  // from the beginning of the turn to the first token
  Nanoseconds total = 0;
  bool complete = true;  // false: max_tokens reached, or interrupted
};

// Nothing more will come for the time before the end of the span, for these.
struct TimeAdvanced {
  bool text = true, objects = true, speech = true;
};
struct TurnBegan {
  std::string question;
};
// What a text answers, and the media that it is about, wherever in time the text itself is.
struct Answered {
  std::string question;
  TimeSpan media;  // running time
};
// Whole characters. They come where settings.wants_pieces is set; the last of an answer may be
// empty.
struct TextPiece {
  std::string text;
  bool is_last = false;
  Answered answered = {};
};
// The whole of an answer, for the time of the span. Of a spoken one: the time of its sound.
struct AnswerText {
  std::string text;
  Answered answered = {};
};
// To be played from the beginning of the span on.
struct Utterance {
  std::shared_ptr<Speech> speech;
  std::string question, voice;
};
// A ToolCall that comes out is to be made, and its result put; the span is that of the turn's
// media. This one got none within settings.tool_timeout.
struct ToolTimedOut {
  ToolCall call;
};
struct TurnDone {
  std::string question;
  bool about_objects = false;  // it answered spatial_prompt
  Nanoseconds due = 0;         // beginning of the media that it is about
  Answer answer;
  bool is_news = true;  // false, with Trigger::event: nobody was told the answer
};
struct TurnDropped {
  std::string question;
  // overdue: live, its promise had passed and newer media were there; refused: too many waited.
  enum class Why { overdue, refused } why;
};
// Nothing comes of a track, and what comes of the others does not wait for it any more, until it
// goes on: told when it is given up (live: when it has been silent for 10 s of the others).
struct TrackSilent {
  Track track;
};
// corrupt_file: the question is no UTF-8.
struct Failed {
  std::string question;
  Error error;
  bool is_fatal;  // true: nothing more happens until flush() or reset()
};
// What came before is void, and so are the turns before this one.
struct Flushed {
  TurnId first_valid;
};
// save() or load() has ended. With an error: nothing was written, or the context is what it was.
// not_found, corrupt_file; invalid_argument: of another checkpoint or kind of session; cancelled: a
// flush(), a reset() or too many others came before.
struct SessionStored {
  std::string path;
  bool loaded = false;
  std::optional<Error> error = std::nullopt;
};
struct EndOfStream {};

struct Event {
  uint64_t epoch = 0;  // what the flush() before it returned
  TurnId turn = 0;     // 0: of none
  TimeSpan span;       // running time
  std::variant<TimeAdvanced, TurnBegan, TextPiece, AnswerText, SpatialResult, Utterance, ToolCall,
               ToolTimedOut, TurnDone, TurnDropped, TrackSilent, Failed, Flushed, SessionStored,
               EndOfStream>
      what;
};

struct SessionStats {
  size_t waiting = 0;      // segments
  uint64_t n_dropped = 0;  // segments that made room for newer ones
  uint64_t n_late = 0;     // segments that came after their chunk had gone, since the beginning
  int64_t context_tokens = 0, remembered_turns = 0;
  uint64_t n_answers = 0, n_tokens = 0;
  uint64_t n_news = 0;  // answers that came out with Trigger::event
  uint64_t n_objects = 0, n_repaired = 0, n_malformed = 0;
  uint64_t n_spoken = 0, n_unspoken = 0, n_interrupted = 0;
  uint64_t n_resumed = 0;                 // false interruptions
  uint64_t n_overdue = 0, n_refused = 0;  // questions
  uint64_t n_tool_calls = 0, n_tool_timeouts = 0;
  uint64_t n_silent = 0;  // times that tracks which bring nothing were given up
};

// All functions may be called from any thread. The work is done by a thread of its own, which
// waits while nobody takes its events.
class OMNI_API Session {
 public:
  virtual ~Session() = default;

  // Takes `input`, unless it is full, which leaves it as it was. Never waits. Segments of a track
  // come in order. Throws invalid_argument for a segment that is not of this model.
  virtual Admission put(Input&& input) = 0;
  Admission put(Segment segment) { return put(Input(std::move(segment))); }
  // Asks at once, about all that was put before (live: about what is there). The oldest question
  // that waits is dropped where too many do.
  virtual TurnId ask(Question question) = 0;
  // Ends a turn early, or all (0): the answer being written is what it is by now, the utterance
  // fades out.
  virtual void interrupt(TurnId turn = 0) = 0;
  // Everything that waits, is being done or has come out is void, and all media are forgotten.
  // Returns the epoch that begins.
  virtual uint64_t flush() = 0;
  // Ends what is being answered or spoken early and forgets all media; what waits stays.
  virtual void reset() = 0;

  // The context in a file, with all that was put and asked before, and in place of the one that
  // there is: another session of the same checkpoint and kind goes on as this one does, with media
  // that follow, or from another clock, whose media come right behind. A SessionStored tells of
  // each.
  virtual void save(const std::string& path) = 0;
  virtual void load(const std::string& path) = 0;

  virtual void set(const SessionSettings& settings) = 0;
  virtual SessionSettings settings() const = 0;

  // The next event; nothing when `stop` is requested. Not from two threads at a time.
  virtual std::optional<Event> next(std::stop_token stop = {}) = 0;

  virtual SessionStats stats() const = 0;
  // The oldest first; those in the context after what was done last.
  virtual std::vector<RememberedTurn> remembered() const = 0;
};

// Asks and waits for the answer, passing over all other events: for programs that have one thread.
// Throws what went wrong; cancelled after a flush().
OMNI_API Answer ask_and_wait(Session& session, Question question,
                             const std::function<void(const Event&)>& on_event = {});

}  // namespace omni
