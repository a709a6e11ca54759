/*
 * What service.c and watch.c share: the thread's epoll instance and what its events mean.
 */
#ifndef OB_SERVICE_OBJECT_H
#define OB_SERVICE_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

/* Events carry one of these in the top byte and a number below. */
enum ob_service_event { OB_EVENT_LISTEN = 1, OB_EVENT_CONNECTION, OB_EVENT_WATCH };
#define OB_EVENT(kind, number) ((uint64_t)(kind) << 56 | (number))
#define OB_EVENT_KIND(event)   ((enum ob_service_event)((event) >> 56))
#define OB_EVENT_NUMBER(event) ((event) & ((UINT64_C(1) << 56) - 1))

/* watch.c: the service has started with this epoll instance: watches what is to be watched. */
void ob_watches_arm(int epoll);
/* The process of that watch has ended. On the service thread, no lock held. */
void ob_watches_fire(uint64_t number);
void ob_watches_before_fork(void);
void ob_watches_after_fork(bool child);

#endif
