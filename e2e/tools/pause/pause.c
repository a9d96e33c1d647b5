/* Holds a pod's namespaces: sleeps, waits for orphans that come to it as PID 1, ends on SIGTERM and SIGINT. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) { _exit(signal == 0); }
static void reap(int signal) { while (waitpid(-1, NULL, WNOHANG) > 0) (void)signal; }

int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
