/*
 * java_double - the digits that Java prints of a double
 *
 * Process: receiver. Pure.
 *
 * Those of JDK 8 to 18, on which Tranquility runs. They are not always the
 * shortest that name the double: 2e23 is 1.9999999999999998E23 there, and
 * 2.0E23 from JDK 19 on. A hash of the text has to be that of the others who
 * write to the same dataSource.
 */
#pragma once

#include "base.h"

#define JAVA_DOUBLE_DIGITS 24 /* more than the longest has */

/* The digits of a finite number above 0, without a point: 0.d1d2… times ten
 * to *exponent. Returns how many there are; zeros at the end are printed. */
unsigned java_double_digits(
    double, char digits[static JAVA_DOUBLE_DIGITS], int *exponent);
