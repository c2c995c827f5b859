// How an answer is written: a thought where the family has one, text, and calls of tools, each held
// to its function's schema. Calls end a step; behind their results the model goes on with the next.
#include <algorithm>
#include <chrono>
#include <utility>

#include "session/dialogue.h"
#include "session/tool_calls.h"
#include "text/utf8_stream.h"

namespace omni {

namespace {

Nanoseconds now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool is_space(std::string_view text) {
  return text.find_first_not_of(" \n\r\t") == std::string_view::npos;
}

// As grammar_of_calls() has it.
ToolCall parse_call(const std::string& text) {
  constexpr std::string_view kBegin = "\n{\"name\": \"",
                             kMiddle = "\", \"arguments\": ", kEnd = "}\n";
  const size_t middle = text.find(kMiddle);
  const size_t arguments = middle + kMiddle.size();
  return {.id = {},
          .name = text.substr(kBegin.size(), middle - kBegin.size()),
          .arguments = text.substr(arguments, text.size() - kEnd.size() - arguments)};
}

}  // namespace

// An answer that is being written.
struct Dialogue::Writing {
  int left() const { return how.sampling.max_tokens - answer.tokens; }

  Answer& answer;
  const How& how;
  TokenMask* mask;  // of the text
  const Nanoseconds begin;
  std::vector<ToolStep> steps;  // whose calls have results
  ToolStep step = {};           // the one behind them
  Utf8Stream characters = {};
  bool thinks = false;
};

Answer Dialogue::ask(const std::string& question, const How& how) {
  const Nanoseconds begin = now();
  TokenMask* mask = begin_mask(how, how.sampling.max_tokens);
  const Asked asked = put_question(question, how.sampling.max_tokens);
  begin_speech(how.speech);
  Answer answer;
  answer.picture = last_picture();
  answer.prompt_tokens = int(sequence_.length());
  Writing writing{.answer = answer, .how = how, .mask = mask, .begin = begin};
  try {
    while (write_step(writing) && use_tools(asked, question, writing)) {
    }
  } catch (const Error& e) {
    if (e.code() == ErrorCode::invalid_argument) sequence_.back_to(asked.context);
    throw;
  }
  answer.total = now() - begin;
  if (how.speech) how.speech->end();
  leave(asked, {question, std::move(writing.steps), std::move(writing.step.text)},
        how.remembered_as, how.speech);
  return answer;
}

void Dialogue::say(const std::string& question, const std::string& text, SpeechStream* speech,
                   TurnId remembered_as) {
  if (!speech && !remembered_as) return;
  const std::vector<int32_t> ids = prompter_.tokenizer().encode_text(text);
  const Asked asked = put_question(question, int(ids.size()));
  begin_speech(speech);
  if (speech) {
    for (const int32_t id : ids) write(id, prompter_.tokenizer().token_bytes(id), speech);
    speech->end();
  }
  leave(asked, {question, {}, text}, remembered_as, speech);
}

// Behind an answer.
void Dialogue::leave(const Asked& asked, Exchange exchange, TurnId remembered_as,
                     const SpeechStream* speech) {
  if (remembered_as)
    remember(asked, std::move(exchange), remembered_as, speech != nullptr);
  else
    sequence_.back_to(asked.context);
}

// Tells a speech what was said before.
void Dialogue::begin_speech(SpeechStream* speech) {
  if (!speech) return;
  if (!options_.speech)
    throw Error(ErrorCode::internal, "a session without speech was asked to speak");
  const std::span<const int32_t> ids = sequence_.ids();
  speech->begin({sequence_.kept_rows(), sequence_.positions(), {ids.begin(), ids.end()}});
}

// A token of the answer enters the context.
void Dialogue::write(int32_t id, std::string_view bytes, SpeechStream* speech) {
  sequence_.decode(id);
  if (speech)
    speech->add(sequence_.kept_rows().back(),
                prompter_.tokenizer().is_special(id) ? std::string_view() : bytes);
}

// A call may come in place of a text that is held to a schema.
TokenMask* Dialogue::begin_mask(const How& how, int n_left) {
  SamplingOptions sampling = how.sampling;
  sampling.max_tokens = n_left;
  return masks_.begin(sampling, how.call ? std::optional(prompter_.tools()->call()) : std::nullopt);
}

// Until the model has nothing more to say, or waits for results of calls: true.
bool Dialogue::write_step(Writing& w) {
  const ToolTemplate* tools = options_.tools.empty() ? nullptr : prompter_.tools();
  w.answer.complete = false;
  w.thinks = prompter_.end_of_thought().has_value();
  while (w.left() > 0 && !w.how.interrupted) {
    const bool is_free = w.thinks || !w.step.calls.empty();
    const auto [id, probability] = sequence_.choose(
        sampler_, w.how.sampling, is_free ? nullptr : w.mask, w.how.wants_probabilities);
    if (w.answer.tokens == 0) w.answer.first_token = now() - w.begin;
    ++w.answer.tokens;
    if (prompter_.is_stop(id)) {
      w.answer.complete = true;
      break;
    }
    if (w.thinks) {
      think(w, id);
    } else if (tools && id == tools->call()) {
      if (!w.how.call || !write_call(w)) break;
    } else if (!w.step.calls.empty()) {
      // What stands behind a call is another one or nothing.
      const std::string bytes = prompter_.tokenizer().token_bytes(id);
      if (!is_space(bytes)) break;
      write(id, bytes, nullptr);
    } else if (!write_word(w, id, probability)) {
      break;
    }
  }
  settle_text(w, !w.step.calls.empty());
  return !w.step.calls.empty();
}

// The end of a step. Where others follow, their text begins a line.
void Dialogue::settle_text(Writing& w, bool goes_on) {
  std::string rest = w.characters.finish();
  if (goes_on && !(w.step.text + rest).empty() && !(w.step.text + rest).ends_with('\n'))
    rest += '\n';
  w.answer.text += rest;
  w.step.text += rest;
  if (goes_on && !rest.empty()) w.how.on_token({rest, rest});
}

void Dialogue::think(Writing& w, int32_t id) {
  const std::string bytes = prompter_.tokenizer().token_bytes(id);
  w.thinks = id != *prompter_.end_of_thought();
  if (w.thinks) w.step.thought += bytes;
  write(id, bytes, nullptr);
  if (!w.thinks && w.mask) w.mask = begin_mask(w.how, w.left());
}

// False: nothing may follow.
bool Dialogue::write_word(Writing& w, int32_t id, double probability) {
  const bool markup = prompter_.tokenizer().is_special(id) ||
                      (!options_.tools.empty() && prompter_.tools()->is_marker(id));
  const std::string bytes = prompter_.tokenizer().token_bytes(id);
  std::string text = markup ? std::string() : w.characters.push(bytes);
  // between a thought and the answer, and ahead of calls
  if ((prompter_.end_of_thought() || w.how.call) && w.step.text.empty())
    text.erase(0, std::min(text.size(), text.find_first_not_of("\n")));
  w.answer.text += text;
  w.step.text += text;
  if (w.mask) w.mask->accept(id, bytes);
  w.how.on_token({bytes, text, markup, probability});
  if (w.mask && w.mask->is_finished()) {
    w.answer.complete = true;
    return false;
  }
  write(id, bytes, w.how.speech);
  return true;
}

// A call whose marker was chosen. False: it was not finished, and is none.
bool Dialogue::write_call(Writing& w) {
  TokenMask& mask = masks_.of_calls(options_.tools.calls);
  if (mask.needed() > w.left()) return false;
  const ToolTemplate& tools = *prompter_.tools();
  mask.begin(w.left());
  write(tools.call(), {}, nullptr);
  std::string text;
  while (!mask.is_finished()) {
    if (w.how.interrupted) return false;
    const int32_t id = sequence_.choose(sampler_, w.how.sampling, &mask, false).id;
    const std::string bytes = prompter_.tokenizer().token_bytes(id);
    ++w.answer.tokens;
    mask.accept(id, bytes);
    text += bytes;
    write(id, bytes, nullptr);
  }
  ++w.answer.tokens;
  write(tools.end_of_call(), {}, nullptr);
  w.step.calls.push_back(parse_call(text));
  return true;
}

// The calls of a step are made; what was written is then as the template has it, with their results
// behind. False: the answer ends there.
bool Dialogue::use_tools(const Asked& asked, const std::string& question, Writing& w) {
  w.step.results = w.how.call(w.step.calls);
  w.steps.push_back(std::exchange(w.step, {}));
  w.answer.complete = false;
  if (w.how.interrupted || w.left() <= 0) return false;
  if (w.mask && w.mask->needed() > w.left()) return false;
  Cursor end;
  const auto rows_of_steps = [&] {
    end = asked.question.cursor;
    return in_turn(prompter_.tools()->go_on(end, question, w.steps));
  };
  Rows rows = rows_of_steps();
  const auto fit = [&] { return int64_t{end.next} + w.left() <= text_.max_positions(); };
  if (!fit()) {
    for (std::string& result : w.steps.back().results)
      result = tool_error("the model has no room for this result");
    rows = rows_of_steps();
  }
  if (!fit()) return false;
  replace(asked.question, end, std::move(rows));
  if (w.mask) w.mask = begin_mask(w.how, w.left());
  return true;
}

}  // namespace omni
