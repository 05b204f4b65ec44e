// Stands before the program's main (-Wl,--wrap=main): with `--forked` alone it reads command lines from its input, a word
// a line and an empty line behind the last, and runs each in a process of its own, as a shell would, but without loading
// the program and its sanitizers anew. The first word is the file for what the run says on stderr. Prints the code by
// which it ended, that of a signal negative.
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" int __real_main(int, char **);

namespace {

const unsigned kMostSeconds = 60;

std::vector<std::string> NextLine() {
  std::vector<std::string> words;
  char word[4096];
  while (std::fgets(word, sizeof word, stdin) && word[0] != '\n') words.emplace_back(word, std::strlen(word) - 1);
  return words;
}

int Run(const char *name, std::vector<std::string> words) {
  alarm(kMostSeconds);
  if (!std::freopen("/dev/null", "w", stdout) || !std::freopen(words[0].c_str(), "w", stderr)) return 1;
  words[0] = name;
  std::vector<char *> line;
  for (std::string &word : words) line.push_back(&word[0]);
  const int count = static_cast<int>(line.size());
  line.push_back(nullptr);
  return __real_main(count, line.data());
}

}  // namespace

extern "C" int __wrap_main(int count, char **line) {
  if (count != 2 || std::strcmp(line[1], "--forked") != 0) return __real_main(count, line);
  for (;;) {
    const std::vector<std::string> words = NextLine();
    if (words.empty()) return 0;
    const pid_t child = fork();
    if (child == 0) return Run(line[0], words);
    int status = 0;
    waitpid(child, &status, 0);
    std::printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    std::fflush(stdout);
  }
}
