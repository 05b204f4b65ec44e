void plt_hal(void) {}
