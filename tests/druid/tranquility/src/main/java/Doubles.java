import java.util.Random;

/**
 * Makes tests/unit/java_double_vectors.txt: literals of doubles, and what this
 * JVM prints of them, between tabs. To be run by a JDK from 8 to 18.
 */
public final class Doubles {
	private static void print(String literal) {
		System.out.println(literal + "\t" + Double.parseDouble(literal));
	}

	public static void main(String[] arguments) {
		Random random = new Random(1);

		/* every size, at a power of two and somewhere above it */
		for (int exponent = 1; exponent < 2047; exponent += 3) {
			long bits = (long) exponent << 52;

			print(String.format("%.16e", Double.longBitsToDouble(bits)));
			bits |= random.nextLong() >>> 12;
			print(String.format("%.16e", Double.longBitsToDouble(bits)));
		}
		/* subnormal ones */
		for (int bits = 1; bits < 53; bits++)
			print(String.format("%.16e",
				Double.longBitsToDouble(random.nextLong() >>> (64 - bits) | 1)));
		/* few digits, in between two doubles at times */
		for (int e = 14; e < 32; e++)
			for (int digits = 1; digits < 1000; digits = digits * 2 + e % 2)
				print(digits + "e" + e);
	}
}
