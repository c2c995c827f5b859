// The context of a session, row by row: system turn · opening of the user's turn · [markers · chunk
// · chunk · …] and, only while a question is being answered, [markers · question · answer]. When
// the window slides, the oldest chunk's rows leave and the kept ones come nearer to the beginning,
// so that positions never grow and nothing is computed again.
#include "session/session.h"

#include <algorithm>
#include <chrono>
#include <deque>

#include "decoding/sampler.h"
#include "decoding/sequence.h"
#include "decoding/token_mask.h"
#include "grammar/json_schema.h"
#include "session/answer_schema.h"
#include "session/speech_stream.h"
#include "session/timeline.h"
#include "text/utf8_stream.h"

namespace omni {

namespace {

constexpr Nanoseconds kDefaultContext = 60 * kSecond;

Nanoseconds now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class ModelSession final : public Session {
 public:
  ModelSession(std::shared_ptr<const void> engine, const Prompter& prompter, Scheduler& scheduler,
               const SessionOptions& options)
      : engine_(std::move(engine)),
        prompter_(prompter),
        text_(scheduler.model()),
        options_(options),
        tracks_{options.video, options.audio},
        timeline_(tracks_, prompter.chunk_duration()),
        sequence_(scheduler, {.keeps_rows = options.speech,
                              .is_stop = [&prompter](int32_t id) { return prompter.is_stop(id); }}),
        sampler_(options.seed) {
    if (options_.context_duration <= 0) options_.context_duration = kDefaultContext;
  }

  void append(Segment segment) override {
    if (segment.hidden != text_.hidden() ||
        segment.embeddings.size() != size_t(segment.n_tokens) * size_t(segment.hidden))
      throw Error(ErrorCode::invalid_argument, "a segment of " + std::to_string(segment.n_tokens) +
                                                   " tokens of " + std::to_string(segment.hidden) +
                                                   " values for a model of " +
                                                   std::to_string(text_.hidden()));
    timeline_.append(std::move(segment));
  }

  void end(Modality track) override { timeline_.end(track); }

  std::optional<TimeSpan> advance(bool wait_for_all) override {
    auto chunk = timeline_.next(wait_for_all);
    if (!chunk) return std::nullopt;
    open_dialogue();
    make_room(*chunk);
    if (chunks_.empty()) {
      before_run_ = sequence_.mark();
      run_start_ = chunk->span.start;
      sequence_.prefill(prompter_.begin_run(sequence_.cursor(), tracks_));
    }
    const int64_t begin = sequence_.length();
    for (const Segment& s : chunk->segments) prefill_media(s);
    chunks_.push_back({chunk->span.start, sequence_.length() - begin});
    return chunk->span;
  }

  Answer ask(const std::string& question, const SamplingOptions& sampling,
             const std::function<void(const AnswerToken&)>& on_token, Speech* speech) override {
    interrupted_ = false;
    const Nanoseconds begin = now();
    TokenMask* mask = mask_for(sampling);
    const Sequence::Mark before = put_question(question, sampling.max_tokens);
    SpeechStream* spoken = begin_speech(speech);
    Answer answer = generate(sampling, mask, on_token, spoken, begin);
    if (spoken) spoken->end();
    sequence_.back_to(before);
    return answer;
  }

  void say(const std::string& question, const std::string& text, Speech& speech) override {
    const std::vector<int32_t> ids = prompter_.tokenizer().encode_text(text);
    const Sequence::Mark before = put_question(question, int(ids.size()));
    SpeechStream* spoken = begin_speech(&speech);
    for (const int32_t id : ids) write(id, prompter_.tokenizer().token_bytes(id), spoken);
    spoken->end();
    sequence_.back_to(before);
  }

  void interrupt() override { interrupted_ = true; }
  void cancel() override { sequence_.cancel(); }
  void reset() override {
    timeline_.reset();
    sequence_.clear();
    chunks_.clear();
    media_modality_.clear();
    picture_.reset();
    dialogue_open_ = false;
  }

  Coordinates coordinates() const override { return prompter_.coordinates(); }
  int64_t n_late_segments() const override { return timeline_.n_late(); }
  int64_t n_context_tokens() const override { return sequence_.length(); }

 private:
  struct HeldChunk {
    Nanoseconds start;
    int64_t n_rows;
  };

  void open_dialogue() {
    if (dialogue_open_) return;
    sequence_.prefill(prompter_.begin_dialogue(sequence_.cursor(), options_.system_prompt));
    dialogue_open_ = true;
  }

  // Puts a question behind the media. Returns where the context was.
  Sequence::Mark put_question(const std::string& question, int max_tokens) {
    open_dialogue();
    const Sequence::Mark before = sequence_.mark();
    if (!chunks_.empty()) sequence_.prefill(prompter_.end_run(sequence_.cursor(), tracks_));
    Cursor end = sequence_.cursor();
    const Rows rows = prompter_.ask(end, question);
    if (end.next + max_tokens > text_.max_positions()) {
      sequence_.back_to(before);
      throw Error(ErrorCode::invalid_argument,
                  "the prompt ends at position " + std::to_string(end.next) +
                      " and max-tokens asks for " + std::to_string(max_tokens) +
                      " more, but the model holds " + std::to_string(text_.max_positions()));
    }
    sequence_.cursor() = end;
    sequence_.prefill(rows);
    return before;
  }

  // Tells a speech what was said before. nullptr: the answer is not spoken.
  SpeechStream* begin_speech(Speech* speech) {
    auto* spoken = dynamic_cast<SpeechStream*>(speech);
    if (!spoken) return nullptr;
    if (!options_.speech)
      throw Error(ErrorCode::internal, "a session without speech was asked to speak");
    spoken->begin(
        {{sequence_.kept_rows().begin(), sequence_.kept_rows().end()}, sequence_.positions()});
    return spoken;
  }

  // A token of the answer enters the context.
  void write(int32_t id, std::string_view bytes, SpeechStream* spoken) {
    sequence_.decode(id);
    if (spoken)
      spoken->add(sequence_.kept_rows().last(size_t(text_.hidden())),
                  prompter_.tokenizer().is_special(id) ? std::string_view() : bytes);
  }

  // A step of video is a pair of frames, half a step apart.
  static Nanoseconds last_frame_of(const Segment& s) {
    if (s.modality == Modality::image) return s.start;
    const auto apart = Nanoseconds(s.seconds_per_grid / 2 * double(kSecond));
    return s.start + std::max<Nanoseconds>(0, s.duration - apart);
  }

  void prefill_media(const Segment& s) {
    if (s.n_tokens == 0) return;
    const Rows rows = prompter_.media(sequence_.cursor(), s, run_start_);
    if (int64_t(rows.size()) != s.n_tokens)
      throw Error(ErrorCode::invalid_argument, "a segment whose grid does not hold its tokens");
    if (sequence_.cursor().next >= text_.max_positions())
      throw Error(ErrorCode::invalid_argument,
                  "the media end at position " + std::to_string(sequence_.cursor().next) +
                      ", but the model holds " + std::to_string(text_.max_positions()) +
                      ": shorten context-duration");
    sequence_.prefill(rows, s.embeddings.data());
    if (s.modality != Modality::audio)
      picture_ = SeenPicture{{s.source_width, s.source_height, s.resized_width, s.resized_height},
                             last_frame_of(s)};
    media_modality_.insert(media_modality_.end(), size_t(s.n_tokens), s.modality);
  }

  // Lets go of chunks that are older than the window, counted from the end of the coming one.
  void make_room(const Chunk& coming) {
    const Nanoseconds oldest = coming.span.start + coming.span.duration - options_.context_duration;
    const bool jumped_back = !chunks_.empty() && coming.span.start < chunks_.back().start;
    size_t gone = 0;
    while (gone < chunks_.size() && (jumped_back || chunks_[gone].start < oldest)) ++gone;
    if (gone == 0) return;
    if (gone == chunks_.size()) {
      sequence_.back_to(before_run_);
      chunks_.clear();
      media_modality_.clear();
      return;
    }
    int64_t rows = 0;
    for (size_t i = 0; i < gone; ++i) rows += chunks_[i].n_rows;
    const int64_t first = sequence_.length() - int64_t(media_modality_.size());
    sequence_.slide(first, first + rows, prompter_.rebase(chunks_[gone].start - run_start_));
    media_modality_.erase(media_modality_.begin(), media_modality_.begin() + rows);
    chunks_.erase(chunks_.begin(), chunks_.begin() + std::ptrdiff_t(gone));
    run_start_ = chunks_.front().start;
  }

  // Begun and ready, or nullptr where everything is allowed.
  TokenMask* mask_for(const SamplingOptions& sampling) {
    if (sampling.json_schema.empty()) return nullptr;
    if (!mask_ || mask_schema_ != sampling.json_schema) {
      const std::string preset = answer_schema(sampling.json_schema, prompter_.coordinates());
      auto grammar = grammar_of_json_schema(preset.empty() ? sampling.json_schema : preset);
      const BpeTokenizer& t = prompter_.tokenizer();
      std::vector<int32_t> stops;
      for (int32_t id = 0; id < t.n_tokens(); ++id)
        if (prompter_.is_stop(id)) stops.push_back(id);
      if (!table_)
        table_ = std::make_shared<TokenTable>(t.n_tokens(), [&](int32_t id) {
          return t.is_special(id) ? std::string() : t.token_bytes(id);
        });
      mask_ = std::make_unique<TokenMask>(std::move(grammar), table_, std::move(stops));
      mask_schema_ = sampling.json_schema;
    }
    mask_->begin(sampling.max_tokens);
    return mask_.get();
  }

  Answer generate(const SamplingOptions& sampling, TokenMask* mask,
                  const std::function<void(const AnswerToken&)>& on_token, SpeechStream* spoken,
                  Nanoseconds begin) {
    Answer answer;
    answer.picture = picture_;
    answer.prompt_tokens = int(sequence_.length());
    answer.complete = false;
    Utf8Stream characters;
    while (answer.tokens < sampling.max_tokens && !interrupted_) {
      const auto [id, probability] =
          sequence_.choose(sampler_, sampling, mask, on_token != nullptr);
      if (answer.tokens == 0) answer.first_token = now() - begin;
      ++answer.tokens;
      if (prompter_.is_stop(id)) {
        answer.complete = true;
        break;
      }
      const std::string bytes = prompter_.tokenizer().token_bytes(id);
      const bool markup = prompter_.tokenizer().is_special(id);
      const std::string text = markup ? std::string() : characters.push(bytes);
      answer.text += text;
      if (mask) mask->accept(id, bytes);
      if (on_token) on_token({bytes, text, markup, probability});
      if (mask && mask->is_finished()) {
        answer.complete = true;
        break;
      }
      write(id, bytes, spoken);
    }
    answer.text += characters.finish();
    answer.total = now() - begin;
    return answer;
  }

  std::shared_ptr<const void> engine_;
  const Prompter& prompter_;
  const TextModel& text_;
  SessionOptions options_;
  Tracks tracks_;
  Timeline timeline_;
  std::atomic<bool> interrupted_{false};
  Sequence sequence_;
  Sampler sampler_;
  std::unique_ptr<TokenMask> mask_;  // of mask_schema_
  std::string mask_schema_;
  std::shared_ptr<const TokenTable> table_;
  std::optional<SeenPicture> picture_;  // the last one that entered the context
  bool dialogue_open_ = false;
  Sequence::Mark before_run_{};  // where the run of media begins
  Nanoseconds run_start_ = 0;    // media time of position run_base
  std::deque<HeldChunk> chunks_;
  std::deque<Modality> media_modality_;  // of each row of the run
};

}  // namespace

std::unique_ptr<Session> make_session(std::shared_ptr<const void> engine, const Prompter& prompter,
                                      Scheduler& scheduler, const SessionOptions& options) {
  return std::make_unique<ModelSession>(std::move(engine), prompter, scheduler, options);
}

}  // namespace omni
