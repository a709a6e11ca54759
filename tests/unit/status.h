/*
 * An assertion on NTSTATUS values that prints their names. (The constants are ints, as enumerators
 * are in C11, so cmocka's integer comparison would sign-extend one side.)
 */
#ifndef TESTS_UNIT_STATUS_H
#define TESTS_UNIT_STATUS_H

#include "pe/status.h"

#define assert_status(got, expected) \
    assert_string_equal(nt_status_name(got), nt_status_name((nt_status)(expected)))

#endif
