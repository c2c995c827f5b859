// What a session's thread saves and loads, and when.
#include <utility>

#include "session/session_thread.h"

namespace omni {

// In the order in which they were asked for, behind all that was put and asked before.
bool SessionThread::store_due(bool live) {
  SessionFile file;
  {
    std::lock_guard guard(state_->lock);
    std::deque<SessionFile>& files = state_->files;
    if (state_->reset_pending || files.empty() ||
        state_->inbox.has_of_first(files.front().first_segment, live))
      return false;
    file = std::move(files.front());
    files.pop_front();
  }
  store(file);
  return true;
}

// What goes wrong is its user's affair and not the stream's. It is told even behind a flush.
void SessionThread::store(const SessionFile& file) {
  std::optional<Error> error;
  try {
    if (file.is_load)
      load(file.path);
    else
      save(file);
  } catch (const Error& e) {
    error = e;
  } catch (const std::bad_alloc&) {
    error = Error(ErrorCode::out_of_memory, file.path + ": out of memory");
  }
  keep_stats();
  std::unique_lock guard(state_->lock);
  state_->wait_for_taker(guard);
  state_->push(0, {}, SessionStored{file.path, file.is_load, std::move(error)});
}

void SessionThread::save(const SessionFile& file) {
  SavedPlace place{.timeline = timeline_->save(), .turns = {}, .next_turn = 1, .watches = watches_};
  {
    std::lock_guard guard(state_->lock);
    for (Segment& s : state_->inbox.waiting(file.first_segment))
      place.timeline.waiting.push_back(std::move(s));
    place.turns = state_->turns.place();
    place.next_turn = state_->turns.next_id();
  }
  save_session(file.path, checkpoint_, *dialogue_, place);
}

void SessionThread::load(const std::string& path) {
  auto dialogue = make_dialogue();
  SavedPlace place = load_session(path, checkpoint_, *dialogue, scheduler_.model().media_width());
  begin_with(std::move(dialogue));
  timeline_->load(std::move(place.timeline));
  watches_ = std::move(place.watches);
  is_loaded_ = true;
  std::lock_guard guard(state_->lock);
  state_->turns.go_on(place.turns, place.next_turn);
}

// The first media behind a file. Of another clock than the saved ones, they come right behind those
// that had entered.
void SessionThread::follow_file(const Segment& first, bool live) {
  dialogue_->set_live(live);
  if (timeline_->follows(first)) return;
  dialogue_->begin_clock();
  begin_timeline();
  std::lock_guard guard(state_->lock);
  state_->turns.forget_media();
}

}  // namespace omni
