#include "cpu/panels.inl"

namespace omni::ops::cpu {
const Panels kAvx2Panels = OMNI_PANELS;
}
