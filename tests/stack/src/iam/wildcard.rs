//! `*` and `?`, in actions, ARNs and values.

/// Whether the whole text matches.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Where to go on when a guess for the last star was wrong.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&one) if one == '?' || Some(&one) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, tried)) => {
                    star = Some((at, tried + 1));
                    p = at + 1;
                    t = tried + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&left| left == '*')
}

/// Whether an ARN matches: part by part, so that no star reaches over a colon but in the last part.
#[must_use]
pub fn arn_matches(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (patterns, parts): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    patterns.len() == parts.len() && patterns.iter().zip(&parts).all(|(pattern, part)| matches(pattern, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, is) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "ac", true),
            ("a*bc", "abcbc", true),
            ("a?c", "ac", false),
            ("a?c", "abc", true),
            ("abc", "abcd", false),
            ("*d", "abc", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_stays_within_its_part_of_an_arn() {
        let snapshot = "arn:aws:ec2:us-east-1::snapshot/snap-1";
        assert!(arn_matches("arn:aws:ec2:*::snapshot/*", snapshot));
        assert!(!arn_matches("arn:aws:ec2:*:snapshot/*", snapshot));
        assert!(arn_matches("*", snapshot));
        assert!(arn_matches("arn:aws:logs:r:1:log-group:x:*", "arn:aws:logs:r:1:log-group:x:log-stream:y"));
    }
}
