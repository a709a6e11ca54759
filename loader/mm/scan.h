/*
 * Runs of pages that this process has a private copy of (internal to mm/).
 *
 * In a private mapping of a file those are the pages that were written; in anonymous memory those
 * that were touched.
 */
#ifndef MM_SCAN_H
#define MM_SCAN_H

#include "loader/mm/pages.h"

/* False ends the scan. */
typedef bool (*mm_scan_visit)(void *user, uint64_t address, uint64_t size);

/*
 * Visits the runs of private pages in [base, end) in ascending order. False when `visit` ended it
 * or the kernel does not tell. A page may be visited that has lost its copy meanwhile.
 */
bool mm_scan_private(uint64_t base, uint64_t end, mm_scan_visit visit, void *user);

/* For tests: do without PAGEMAP_SCAN, as on kernels before 6.7. */
extern bool mm_scan_plainly;

#endif
