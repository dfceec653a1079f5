import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Random;

/** Random events as JSON text, with all that a dimension's value may be. */
final class Rows {
	private static final String[] NAMES = { "page", "user", "a", "b", "ab", "aa", "A", "added",
		"count", "", "é", "Ж", "中文", "～", "\uffee", "𐀀", "😀", "x\uff5e", "x😀", "name with space",
		"quote\"d", "back\\slash", "a_rather_long_dimension_name_here", "a_rather_long_dimension_name_hero" };
	private static final String[] PIECES = { "", "a", "Wikipedia", "the quick brown fox", "0", "1.0",
		"é", "ß", "Ж", "中文版", "한국", "ท", "😀", "🇩🇪", "𐀀", "\uffff", "\ue000", "\u0000", "\n", "\"",
		"\\", "/", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud800", "\udc00", "\udbff", "null", "true" };
	private static final int LIST_MAX = 6;

	private final Random random;
	private final StringBuilder out = new StringBuilder();

	Rows(long seed) {
		random = new Random(seed);
	}

	/** One event whose time is `millis`. */
	String next(long millis) {
		int fields = random.nextInt(9), time = random.nextInt(fields + 1);

		out.setLength(0);
		out.append('{');
		for (int i = 0; i <= fields; i++) {
			if (i > 0)
				out.append(',');
			if (i == time) {
				out.append("\"time\":").append(millis);
				continue;
			}
			text(NAMES[random.nextInt(NAMES.length)]);
			out.append(':');
			value(0);
		}
		return out.append('}').toString();
	}

	private void value(int depth) {
		switch (random.nextInt(depth > 1 ? 8 : 10)) {
		case 0: out.append("null"); break;
		case 1: out.append(random.nextBoolean()); break;
		case 2: integer(); break;
		case 3:
		case 4: real(); break;
		case 5:
		case 6:
		case 7: text(pieces()); break;
		case 8: list(depth); break;
		default: object(depth); break;
		}
	}

	private void list(int depth) {
		int count = random.nextInt(LIST_MAX);

		out.append('[');
		for (int i = 0; i < count; i++) {
			if (i > 0)
				out.append(random.nextBoolean() ? "," : " , ");
			value(depth + 1);
		}
		out.append(']');
	}

	/* Each name once: Java's map shows one of several, in an order of its own. */
	private void object(int depth) {
		int count = random.nextInt(3);

		out.append('{');
		for (int i = 0; i < count; i++) {
			if (i > 0)
				out.append(',');
			text("k" + i + PIECES[random.nextInt(PIECES.length)]);
			out.append(':');
			value(depth + 1);
		}
		out.append('}');
	}

	private String pieces() {
		StringBuilder s = new StringBuilder();

		for (int n = random.nextInt(4); n > 0; n--)
			s.append(PIECES[random.nextInt(PIECES.length)]);
		return s.toString();
	}

	private void text(String s) {
		boolean escapes = random.nextInt(4) == 0;

		out.append('"');
		for (int i = 0; i < s.length(); i++) {
			char c = s.charAt(i);
			boolean isPair = Character.isHighSurrogate(c) && i + 1 < s.length()
				&& Character.isLowSurrogate(s.charAt(i + 1));

			if (isPair && !escapes)
				out.append(c).append(s.charAt(++i));
			else if (c < ' ' || c == '"' || c == '\\' || Character.isSurrogate(c)
				|| escapes && random.nextInt(3) == 0)
				out.append(String.format("\\u%04x", (int) c));
			else
				out.append(c);
		}
		out.append('"');
	}

	private void integer() {
		switch (random.nextInt(5)) {
		case 0: out.append(random.nextInt(10)); break;
		case 1: out.append(random.nextInt()); break;
		case 2: out.append(random.nextLong()); break;
		case 3: out.append(random.nextBoolean() ? "-0" : "-9223372036854775808"); break;
		default: out.append(new BigInteger(1 + random.nextInt(200), random)); break;
		}
	}

	private void real() {
		switch (random.nextInt(8)) {
		case 0: shortReal(); break;
		case 1: out.append(random.nextInt(100000) / 100.0); break;
		case 2: out.append(random.nextLong() >> random.nextInt(16)).append("e1"); break;
		case 3: anyReal(random.nextLong()); break;
		case 4: anyReal(random.nextLong() & 0x000fffffffffffffL); break; /* subnormal */
		case 5: anyReal((long) (random.nextInt(2046) + 1) << 52); break; /* power of two */
		case 6: halfway(); break;
		default:
			/* where the shortest text and Java's differ most */
			anyReal(Double.doubleToRawLongBits(Math.pow(10, 15 + 13 * random.nextDouble())));
		}
	}

	/* Few digits and any exponent. */
	private void shortReal() {
		out.append(random.nextInt(2) == 0 ? "-" : "")
			.append(random.nextInt((int) Math.pow(10, 1 + random.nextInt(8))))
			.append('.').append(random.nextInt(1000))
			.append(random.nextBoolean() ? 'e' : 'E')
			.append(random.nextInt(680) - 340);
	}

	private void anyReal(long bits) {
		double d = Double.longBitsToDouble(bits);

		if (Double.isNaN(d) || Double.isInfinite(d))
			out.append("1e400");
		else if (random.nextBoolean())
			out.append(String.format("%.16e", d));
		else
			out.append(Double.toString(d));
	}

	/* A power of ten and a power of two, which doubles may have between them. */
	private void halfway() {
		BigDecimal d = BigDecimal.valueOf(1L << random.nextInt(50))
			.scaleByPowerOfTen(15 + random.nextInt(15));

		out.append(random.nextBoolean() ? d.toPlainString() + ".0" : d.unscaledValue()
			+ "e" + -d.scale());
	}
}
