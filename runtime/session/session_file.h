// A session as a file: its dialogue, the chunk that is open, what has not entered it yet, and where
// the standing questions are: when they are due, and what was answered last. A safetensors file
// (session/archive.h).
#pragma once

#include <filesystem>
#include <string>

#include "session/dialogue.h"
#include "session/timeline.h"
#include "session/turns.h"
#include "session/watch.h"

namespace omni {

// Of a session, beside its dialogue.
struct SavedPlace {
  Timeline::Saved timeline;
  Turns::Place turns;
  TurnId next_turn = 1;
  Watches watches;
};

// checkpoint: what its sessions are known by. Throws not_found where it cannot be written, and what
// the dialogue does.
void save_session(const std::filesystem::path& path, const std::string& checkpoint,
                  Dialogue& dialogue, const SavedPlace& place);
// Into a dialogue that was just made; after an error it is of no more use. Throws not_found,
// corrupt_file, out_of_memory, invalid_argument for another checkpoint or kind of session.
SavedPlace load_session(const std::filesystem::path& path, const std::string& checkpoint,
                        Dialogue& dialogue, int media_width);

}  // namespace omni
