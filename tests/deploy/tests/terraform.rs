//! The Terraform module: the template's own policies, and every document.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use deploy::inline;
use stack::infra;
use stack::template::Template;

fn read(name: &str) -> String {
    std::fs::read_to_string(infra().join(name)).unwrap_or_default()
}

#[test]
fn the_module_has_the_templates_policies_word_for_word() {
    for (name, policy) in inline::policies(&Template::read(&read("template.yaml")).unwrap()).unwrap() {
        let file = format!("terraform/from-template/{name}.json.tftpl");
        assert!(read(&file) == policy, "{file}: run `cargo run -p deploy --bin inline-documents`");
        assert!(policy.len() > 300 && !policy.contains("zz-"), "{name}");
        // Roles of functions have the names of their policies: one resource for all three.
        let named = format!("from-template/{name}.json.tftpl");
        let used =
            ["roles.tf", "main.tf", "alarms.tf"].map(|file| read(&format!("terraform/{file}"))).concat();
        let is_function = ["backup", "signal", "restore"].contains(&name);
        assert!(used.contains(&named) || is_function, "{name} is not used");
    }
}

#[test]
fn the_module_has_every_parameter_of_the_template_or_says_why_not() {
    let elsewhere = [
        // Terraform is given zip files that are built for one of them.
        ("Architecture", "architecture"),
        // A topic of one's own is another resource beside the module.
        ("AlarmEmail", "alarm_topic_arn"),
    ];
    let variables = read("terraform/variables.tf");
    for name in Template::read(&read("template.yaml")).unwrap().section("Parameters").keys() {
        let snake = name.chars().fold(String::new(), |mut snake, c| {
            if c.is_ascii_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        });
        let wanted =
            elsewhere.iter().find(|(other, _)| other == name).map_or(snake.as_str(), |(_, other)| other);
        assert!(variables.contains(&format!("variable \"{wanted}\"")), "{name}: no variable {wanted}");
    }
}
