#include "session/session_state.h"

namespace omni {

namespace {
constexpr int kChunksAhead = 4;  // of one track before another, when nothing is live
}

SessionState::SessionState(const SessionOptions& of_session, Nanoseconds chunk)
    : options(of_session),
      current_settings(of_session.settings),
      inbox(of_session.most_waiting, kChunksAhead * chunk),
      turns(chunk),
      utterances(chunk) {
  ask_for_reset();
}

SessionSettings SessionState::settings() const {
  std::lock_guard guard(lock);
  return current_settings;
}

void SessionState::push(TurnId turn, std::optional<Utterances::Timed> timed) {
  if (!timed) return;
  if (timed->text.empty())
    push(turn, timed->span, TimeAdvanced{.objects = false, .speech = false});
  else
    push(turn, timed->span, AnswerText{std::move(timed->text), std::move(timed->answered)});
}

void SessionState::wake() {
  ++n_inputs;
  changed.notify_all();
}

void SessionState::set_tracks() {
  inbox.set_tracks(current_settings.has_video, current_settings.has_audio);
}

// Not those of a dialogue that is void.
void SessionState::set_remembered(const std::deque<RememberedTurn>& those) {
  if (!reset_pending) remembered.assign(those.begin(), those.end());
}

void SessionState::ask_for_reset() {
  reset_pending = true;
  failed = false;
  heard.clear();
  remembered.clear();
  set_tracks();
  wake();
}

std::vector<std::shared_ptr<Speech>> SessionState::end_early(TurnId turn) {
  if (turn == 0 || turn == answering) interrupted = true;
  utterances.cut(turn);
  return utterances.speeches(turn);
}

}  // namespace omni
