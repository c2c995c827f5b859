#include "session/utterances.h"

#include <algorithm>
#include <utility>

#include "session/heard.h"

namespace omni {

namespace {

// What was read of a held speech and may not have left: a piece that faded out.
constexpr Nanoseconds kUnheard = kSecond / 20;

}  // namespace

Utterances::May Utterances::may_speak(bool live, bool asked_by_user) const {
  if (!is_speaking() || (live && asked_by_user)) return May::speak;
  return live ? May::stay_silent : May::wait;
}

void Utterances::begin(TurnId turn, std::shared_ptr<Speech> speech, Answered answered) {
  Spoken& s = spoken_[turn];
  s.speech = std::move(speech);
  s.answered = std::move(answered);
}

template <class T>
std::optional<Utterances::Timed> Utterances::set(TurnId turn, std::optional<T> Spoken::*what,
                                                 T value) {
  const auto it = spoken_.find(turn);
  if (it == spoken_.end()) return std::nullopt;
  std::optional<T>& member = it->second.*what;
  if (!member) member = std::move(value);
  return complete(turn);
}

std::optional<Utterances::Timed> Utterances::complete(TurnId turn) {
  Spoken& s = spoken_.at(turn);
  if (!s.text || !s.start || !s.duration) return std::nullopt;
  std::optional<Timed> timed;
  if (!std::exchange(s.sent, true)) {
    const bool silent = *s.duration == 0 && !s.text->empty();
    timed = Timed{*s.text, {*s.start, silent ? silent_duration_ : *s.duration}, s.answered};
  }
  if (!s.speech) spoken_.erase(turn);
  return timed;
}

std::optional<Utterances::Timed> Utterances::set_text(TurnId turn, std::string text) {
  return set(turn, &Spoken::text, std::move(text));
}

std::optional<Utterances::Timed> Utterances::set_start(TurnId turn, Nanoseconds start) {
  return set(turn, &Spoken::start, start);
}

std::optional<Utterances::Timed> Utterances::set_duration(TurnId turn, Nanoseconds duration) {
  return set(turn, &Spoken::duration, duration);
}

std::optional<Utterances::Timed> Utterances::end(TurnId turn, SpeechEnd end, Nanoseconds start,
                                                 Nanoseconds heard) {
  const auto it = spoken_.find(turn);
  if (it == spoken_.end() || !it->second.speech) return std::nullopt;
  ++(end == SpeechEnd::interrupted ? n_interrupted_ : n_spoken_);
  Spoken& s = it->second;
  s.speech.reset();
  if (!s.start) s.start = start;
  if (!s.duration) s.duration = heard;
  return complete(turn);
}

std::vector<std::shared_ptr<Speech>> Utterances::hold() {
  is_held_ = is_speaking();
  return speeches(0);
}

std::vector<Utterances::Resumed> Utterances::resume() {
  std::vector<Resumed> out;
  if (!std::exchange(is_held_, false)) return out;
  for (const auto& [turn, spoken] : spoken_) {
    if (!spoken.speech) continue;
    const Nanoseconds heard = spoken.speech->n_read();
    const Nanoseconds word = beginning_of_word(spoken.text, heard, spoken.duration);
    out.push_back({spoken.speech, std::max<Nanoseconds>(0, std::min(word, heard - kUnheard))});
  }
  n_resumed_ += !out.empty();
  return out;
}

void Utterances::cut(TurnId turn) {
  if (turn == 0) is_held_ = false;
  for (auto& [id, spoken] : spoken_)
    if (turn == 0 || id == turn) spoken.cut = true;
}

bool Utterances::is_cut(TurnId turn) const {
  const auto it = spoken_.find(turn);
  return it != spoken_.end() && it->second.cut;
}

std::optional<Nanoseconds> Utterances::duration(TurnId turn) const {
  const auto it = spoken_.find(turn);
  return it == spoken_.end() ? std::nullopt : it->second.duration;
}

bool Utterances::is_speaking() const {
  return std::any_of(spoken_.begin(), spoken_.end(),
                     [](const auto& s) { return s.second.speech != nullptr; });
}

std::vector<std::shared_ptr<Speech>> Utterances::speeches(TurnId turn) const {
  std::vector<std::shared_ptr<Speech>> out;
  for (const auto& [id, spoken] : spoken_)
    if (spoken.speech && (turn == 0 || id == turn)) out.push_back(spoken.speech);
  return out;
}

std::vector<TurnId> Utterances::speaking() const {
  std::vector<TurnId> out;
  for (const auto& [id, spoken] : spoken_)
    if (spoken.speech) out.push_back(id);
  return out;
}

std::vector<std::shared_ptr<Speech>> Utterances::clear() {
  auto out = speeches(0);
  spoken_.clear();
  is_held_ = false;
  return out;
}

}  // namespace omni
