/*
 * The lines "importer -> Module.dll!Name" of a failed load, cut to what an error record holds.
 */
#include "loader/ldr/report.h"

#include <stdarg.h>
#include <stdio.h>

void ldr_report_add(struct ldr_report *report, nt_status status, const char *fmt, ...)
{
    if (report->count++ == 0) {
        report->status = status;
    }
    size_t room = sizeof report->text - report->length;
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(report->text + report->length, room, fmt, args);
    va_end(args);
    bool fits = length >= 0 && (size_t)length + 1 < room;
    /* A name from a file must not look like the next line. */
    for (char *c = report->text + report->length; *c; c++) {
        *c = *c == '\n' ? '?' : *c;
    }
    /* A line that alone is too long is shown cut; later lines are not shown after a gap. */
    if (report->shown + 1 != report->count || (!fits && report->shown > 0)) {
        report->text[report->length] = '\0';
        return;
    }
    report->length += fits ? (size_t)length : room - 2;
    report->text[report->length++] = '\n';
    report->text[report->length] = '\0';
    report->shown++;
}

nt_status ldr_report_finish(const struct ldr_report *report, const char *name, struct pe_error *err)
{
    if (report->count == 0) {
        return STATUS_SUCCESS;
    }
    char more[32] = "";
    int length = (int)report->length;
    if (report->shown < report->count) {
        snprintf(more, sizeof more, "... and %u more", report->count - report->shown);
    } else {
        length--; /* no newline at the end */
    }
    return pe_fail(err, report->status, "%.64s needs %u import%s that %s missing:\n%.*s%s", name,
                   report->count, report->count == 1 ? "" : "s", report->count == 1 ? "is" : "are",
                   length, report->text, more);
}
