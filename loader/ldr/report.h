/*
 * Everything that one load misses, told at once.
 */
#ifndef LDR_REPORT_H
#define LDR_REPORT_H

#include <stddef.h>

#include "pe/status.h"

struct ldr_report {
    nt_status status; /* of the first entry */
    uint32_t count;   /* entries */
    uint32_t shown;   /* ... that fitted */
    size_t length;
    char text[880]; /* leaves room in pe_error.text for the first line and "... and N more" */
};

/* Adds one line. */
void ldr_report_add(struct ldr_report *report, nt_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The report as one failure of the load of `name`; its status. STATUS_SUCCESS when it is empty. */
nt_status ldr_report_finish(const struct ldr_report *report, const char *name,
                            struct pe_error *err);

#endif
