/*
 * One call that a process puts off: what most programs end without ever needing.
 */
#ifndef KE_LATER_H
#define KE_LATER_H

#include <signal.h>
#include <stdbool.h>

/*
 * Calls `function` on the calling thread, once, when the process has run for KE_LATER milliseconds
 * and the thread is in code of an image, asleep in one of peldr's waits (suspend.h), or blocked in
 * a system call such as read(). The function may take memory and locks of glibc. False: there is no
 * timer, or another call is put off; nothing is going to be called.
 */
bool ke_later(void (*function)(void));
#define KE_LATER 5 /* ms; and as many between attempts */

bool ke_later_waits(void);
/* Calls what was put off, at once, unless that has been done. */
void ke_later_now(void);
/* Gives it up: the process ends. What runs then waits in system calls with locks held. */
void ke_later_never(void);
/* In a forked child, which has no timer: the parent's call is not its. */
void ke_later_forget(void);

#endif
