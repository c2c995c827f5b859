#include "cpu/panels.inl"

namespace omni::ops::cpu {
const Panels kNeonPanels = OMNI_PANELS;
}
