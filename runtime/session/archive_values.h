// Values of media in an archive (session/archive.h).
#pragma once

#include <optional>

#include "interface/prompter.h"
#include "omni/segment.h"
#include "session/archive.h"

namespace omni {

constexpr Nanoseconds kFarthestTime = Nanoseconds{1} << 60;  // 36 years

void put(ArchiveWriter& to, std::optional<Modality> modality);
void put(ArchiveWriter& to, Tracks tracks);
void put(ArchiveWriter& to, std::optional<Nanoseconds> time);
void put(ArchiveWriter& to, const Segment& segment);

// All throw corrupt_file.
std::optional<Modality> read_modality(ArchiveReader& from);
Tracks read_tracks(ArchiveReader& from);
Nanoseconds read_time(ArchiveReader& from);
std::optional<Nanoseconds> read_optional_time(ArchiveReader& from);
// hidden: the width that its rows must have. It may have none.
Segment read_segment(ArchiveReader& from, int hidden);

}  // namespace omni
