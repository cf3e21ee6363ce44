// Dark or light: as the system says, until the reader chooses; the choice is kept by the browser if it lets us.

const KEY = "floe-lab-theme";

export function setUpTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem(KEY);
  } catch {
    // A browser that keeps nothing still has a theme.
  }
  const apply = () => {
    const theme = chosen === "dark" || chosen === "light" ? chosen : system.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-pressed", String(theme === "dark"));
  };
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // See above.
    }
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
