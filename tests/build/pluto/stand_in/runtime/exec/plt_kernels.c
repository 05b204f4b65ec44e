void plt_exec(void) {}
