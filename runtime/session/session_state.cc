#include "session/session_state.h"

#include <chrono>

namespace omni {

namespace {
constexpr int kChunksAhead = 4;  // of one track before another, when nothing is live
}

Nanoseconds steady_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
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

bool SessionState::have_streams_ended() const {
  if (!inbox.has_tracks()) return current_settings.has_questions && questions_ended;
  return inbox.has_ended();
}

std::vector<std::shared_ptr<Speech>> SessionState::end_early(TurnId turn) {
  if (turn == 0 || turn == answering) interrupted = true;
  changed.notify_all();
  utterances.cut(turn);
  return utterances.speeches(turn);
}

}  // namespace omni
