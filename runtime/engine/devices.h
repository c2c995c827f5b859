// From the `device` of an engine's options to where its tensors live.
#pragma once

#include <string>

#include "core/device.h"

namespace omni {

// auto, cpu, cuda or cuda:N. nullptr: the host. A device stays open for ever. auto is the first GPU
// where one answers, else the host. Throws device with the reason where a device that was asked for
// by name is not to be had, invalid_argument for another name.
const Device* open_device(const std::string& name);

}  // namespace omni
