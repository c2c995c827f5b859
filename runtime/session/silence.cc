#include "session/silence.h"

namespace omni {

namespace {
constexpr Nanoseconds kWorthTelling = 10 * kSecond;
}  // namespace

Nanoseconds Silence::stands_still(Nanoseconds now, Nanoseconds patience) {
  if (!still_since_) still_since_ = now;
  return *still_since_ + patience - now;
}

void Silence::give_up(Tracks tracks, Nanoseconds time) {
  moves();
  if (tracks.video) video_ = Silent{time};
  if (tracks.audio) audio_ = Silent{time};
}

void Silence::set_silent(Tracks tracks) {
  if (!tracks.video) video_.reset();
  if (!tracks.audio) audio_.reset();
}

bool Silence::is_to_be_told(std::optional<Silent>& silent, std::optional<Nanoseconds> time) {
  if (!silent || silent->told || (time && *time < silent->since + kWorthTelling)) return false;
  return silent->told = true;
}

Tracks Silence::to_be_told(std::optional<Nanoseconds> time) {
  return {is_to_be_told(video_, time), is_to_be_told(audio_, time)};
}

}  // namespace omni
